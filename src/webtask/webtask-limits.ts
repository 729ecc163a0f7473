/** Limits of the webtask API itself: the same for every tenant, so they are not in the table of tenants' limits. */
import type { FixedLimit } from '../contracts/limits.ts';

export const webtaskLimits = {
  webtaskBodyBytes: {
    value: 32 * 1024 * 1024,
    unit: 'bytes',
    says: 'body of one call that manages: code of the default limit, escaped in JSON, and settings',
  },
  webtaskJsonValues: { value: 200_000, unit: 'count', says: 'values in the JSON of one call' },
  webtaskProgramMs: { value: 30_000, unit: 'ms', says: 'time in which a program sent as a body must arrive' },
  webtaskParamsBytes: {
    value: 8 * 1024,
    unit: 'bytes',
    says: 'params of one webtask: they travel in its token, so in headers and URLs',
  },
  webtaskListRows: { value: 1_000, unit: 'count', says: 'webtasks in one answer of a list' },
  webtaskLogStreams: { value: 16, unit: 'count', says: 'live log streams of one container at the same time' },
  webtaskLogPingMs: {
    value: 15_000,
    unit: 'ms',
    says: 'time between two pings of a log stream; browsers give up after 20 s of silence',
  },
  webtaskLogCheckMs: {
    value: 1_000,
    unit: 'ms',
    says: "time between two checks that a log stream's token still holds",
  },
  webtaskLogWriteMs: {
    value: 30_000,
    unit: 'ms',
    says: 'time after which a reader of logs that takes nothing is cut off',
  },
  webtaskProgramsPerTenant: {
    value: 8,
    unit: 'count',
    says: 'programs sent as bodies that stay prepared, of one container',
  },
  webtaskProgramsBytes: {
    value: 64 * 1024 * 1024,
    unit: 'bytes',
    says: 'the same, of all containers, with their sources; the newest stays in any case',
  },
  webtaskPrograms: { value: 256, unit: 'count', says: 'the same, of all containers' },
  webtaskAncestors: { value: 16, unit: 'count', says: 'how often a token can be passed on' },
} as const satisfies Record<string, FixedLimit>;
