/** Limits of the control API itself: the same for every tenant, so they are not in the table of tenants' limits. */
import type { FixedLimit } from '../contracts/limits.ts';

export const apiLimits = {
  apiBodyBytes: {
    value: 4 * 1024 * 1024,
    unit: 'bytes',
    says: 'body of one API request that is not a deploy',
  },
  apiJsonValues: { value: 200_000, unit: 'count', says: 'values in the JSON of one API request' },
  apiBodyMs: { value: 60_000, unit: 'ms', says: 'time in which the body of an API request must arrive' },
  apiHandlerMs: {
    value: 180_000,
    unit: 'ms',
    says: 'time that the platform takes for one API request at most',
  },
  logStreamsPerTenant: { value: 32, unit: 'count', says: 'live log streams of one tenant at the same time' },
  logStreamPingMs: { value: 15_000, unit: 'ms', says: 'time between two pings of a live log stream' },
  logStreamCheckMs: {
    value: 1_000,
    unit: 'ms',
    says: "time between two checks that a stream's token still holds",
  },
  logStreamWriteMs: {
    value: 30_000,
    unit: 'ms',
    says: 'time after which a reader that takes nothing is cut off',
  },
  readyMs: { value: 2_000, unit: 'ms', says: 'time that /readyz gives the store to answer' },
  pageRows: { value: 1_000, unit: 'count', says: 'rows of one page of a list' },
} as const satisfies Record<string, FixedLimit>;
