/**
 * Every limit of the platform: its name, unit, default and ceiling, in one table.
 * Tenants can be given their own value up to the ceiling; the name stands in the error when it is reached.
 */
import { z } from 'zod';

const KiB = 1024;
const MiB = 1024 * KiB;

export interface LimitDefinition {
  readonly default: number;
  readonly ceiling: number;
  readonly floor: number;
  readonly unit: 'ms' | 'bytes' | 'count' | 'millicores' | 'per-second';
  readonly says: string;
}

export const limitDefinitions = {
  blockedMs: {
    default: 2_000,
    floor: 100,
    ceiling: 60_000,
    unit: 'ms',
    says: 'how long a function may block its event loop; 5 times as long when memory or CPU run short',
  },
  spinMs: {
    default: 10_000,
    floor: 1_000,
    ceiling: 900_000,
    unit: 'ms',
    says: 'how long the event loop of a function may burn a whole core without answering or sending anything',
  },
  wallMs: {
    default: 30_000,
    floor: 100,
    ceiling: 900_000,
    unit: 'ms',
    says: 'time until the response starts, and between two chunks of a body',
  },
  loadMs: {
    default: 10_000,
    floor: 500,
    ceiling: 60_000,
    unit: 'ms',
    says: 'time a revision may take to load',
  },
  memoryBytes: {
    default: 256 * MiB,
    floor: 64 * MiB,
    ceiling: 8192 * MiB,
    unit: 'bytes',
    says: 'memory of one sandbox, /tmp included',
  },
  cpuMillis: {
    default: 1_000,
    floor: 50,
    ceiling: 64_000,
    unit: 'millicores',
    says: 'CPU of one sandbox, in thousandths of a core',
  },
  pids: {
    default: 64,
    floor: 24,
    ceiling: 4_096,
    unit: 'count',
    says: 'processes and threads of one sandbox',
  },
  tmpBytes: {
    default: 64 * MiB,
    floor: 1 * MiB,
    ceiling: 4096 * MiB,
    unit: 'bytes',
    says: 'size of /tmp of one sandbox',
  },
  tmpInodes: {
    default: 4_096,
    floor: 64,
    ceiling: 262_144,
    unit: 'count',
    says: 'files and directories in /tmp of one sandbox',
  },
  requestHeaderBytes: {
    default: 16 * KiB,
    floor: 1 * KiB,
    ceiling: 60 * KiB,
    unit: 'bytes',
    says: 'request line and headers',
  },
  responseHeaderBytes: {
    default: 16 * KiB,
    floor: 1 * KiB,
    ceiling: 60 * KiB,
    unit: 'bytes',
    says: 'status line and headers of a response',
  },
  requestBodyBytes: {
    default: 4096 * MiB,
    floor: 0,
    ceiling: 1024 * 1024 * MiB,
    unit: 'bytes',
    says: 'body of one request',
  },
  concurrency: {
    default: 200,
    floor: 1,
    ceiling: 100_000,
    unit: 'count',
    says: 'invocations of one tenant at the same time',
  },
  concurrencyPerSandbox: {
    default: 50,
    floor: 1,
    ceiling: 10_000,
    unit: 'count',
    says: 'invocations in one sandbox at the same time',
  },
  sandboxesPerFunction: {
    default: 4,
    floor: 1,
    ceiling: 1_000,
    unit: 'count',
    says: 'sandboxes of one function at the same time',
  },
  sandboxesPerTenant: {
    default: 50,
    floor: 1,
    ceiling: 10_000,
    unit: 'count',
    says: 'sandboxes of one tenant at the same time',
  },
  queue: {
    default: 200,
    floor: 0,
    ceiling: 100_000,
    unit: 'count',
    says: 'invocations of one tenant that wait for a sandbox',
  },
  queueMs: {
    default: 10_000,
    floor: 10,
    ceiling: 120_000,
    unit: 'ms',
    says: 'time an invocation may wait for a sandbox',
  },
  freezeMs: {
    default: 10_000,
    floor: 0,
    ceiling: 86_400_000,
    unit: 'ms',
    says: 'time after which an idle sandbox gets no CPU until its next request, where the driver can freeze; 0: never',
  },
  idleMs: {
    default: 300_000,
    floor: 1_000,
    ceiling: 86_400_000,
    unit: 'ms',
    says: 'time after which an idle sandbox is removed',
  },
  requestsPerSecond: {
    default: 10_000,
    floor: 1,
    ceiling: 1_000_000,
    unit: 'per-second',
    says: 'requests of one tenant a second',
  },
  logBytesPerSecond: {
    default: 256 * KiB,
    floor: 1 * KiB,
    ceiling: 64 * MiB,
    unit: 'bytes',
    says: 'log volume of one sandbox a second',
  },
  logLineBytes: {
    default: 8 * KiB,
    floor: 256,
    ceiling: 64 * KiB,
    unit: 'bytes',
    says: 'length of one log line',
  },
  logHistoryRows: {
    default: 10_000,
    floor: 100,
    ceiling: 1_000_000,
    unit: 'count',
    says: 'log lines of one tenant that are kept',
  },
  codeBytes: {
    default: 20 * MiB,
    floor: 1 * KiB,
    ceiling: 50 * MiB,
    unit: 'bytes',
    says: 'code of one revision',
  },
  functions: { default: 1_000, floor: 1, ceiling: 1_000_000, unit: 'count', says: 'functions of one tenant' },
  revisions: {
    default: 50,
    floor: 2,
    ceiling: 10_000,
    unit: 'count',
    says: 'revisions kept of one function; the oldest inactive ones go',
  },
  secrets: { default: 100, floor: 0, ceiling: 1_000, unit: 'count', says: 'secrets of one function' },
  secretBytes: { default: 16 * KiB, floor: 1, ceiling: 256 * KiB, unit: 'bytes', says: 'size of one secret' },
  settingsBytes: {
    default: 64 * KiB,
    floor: 1 * KiB,
    ceiling: 512 * KiB,
    unit: 'bytes',
    says: 'names and values of env of one function, and as much again of meta',
  },
  keys: {
    default: 16,
    floor: 1,
    ceiling: 256,
    unit: 'count',
    says: 'keys of one tenant that are not revoked',
  },
  revokedTokens: {
    default: 10_000,
    floor: 1,
    ceiling: 100_000,
    unit: 'count',
    says: 'tokens that one tenant revoked one by one and that have not expired',
  },
  services: { default: 2, floor: 0, ceiling: 32, unit: 'count', says: 'services of one tenant' },
  serviceMemoryBytes: {
    default: 256 * MiB,
    floor: 96 * MiB,
    ceiling: 65_536 * MiB,
    unit: 'bytes',
    says: 'memory of one service; it gets as much unless it is made with less',
  },
  egressConnections: {
    default: 100,
    floor: 0,
    ceiling: 10_000,
    unit: 'count',
    says: 'outgoing connections and look-ups of one tenant at the same time',
  },
  egressOpensPerSecond: {
    default: 50,
    floor: 1,
    ceiling: 10_000,
    unit: 'per-second',
    says: 'outgoing connections and look-ups that one tenant starts a second; ten seconds’ worth may come at once',
  },
  egressBytesPerDay: {
    default: 10 * 1024 * MiB,
    floor: 0,
    ceiling: 1024 * 1024 * MiB,
    unit: 'bytes',
    says: 'bytes of outgoing connections of one tenant in a day (UTC), both directions',
  },
  egressConnectMs: {
    default: 10_000,
    floor: 100,
    ceiling: 60_000,
    unit: 'ms',
    says: 'time until an outgoing connection is there, or a look-up answered',
  },
  egressIdleMs: {
    default: 600_000,
    floor: 1_000,
    ceiling: 86_400_000,
    unit: 'ms',
    says: 'time after which a connection out, or to an own function, is closed when no byte moves either way',
  },
} as const satisfies Record<string, LimitDefinition>;

export type LimitName = keyof typeof limitDefinitions;
/** One value for each limit, in the unit of its definition. */
export type Limits = { readonly [name in LimitName]: number };
export const limitNames = Object.keys(limitDefinitions) as LimitName[];

/** A limit that is the same for every tenant. */
export interface FixedLimit {
  readonly value: number;
  readonly unit: 'ms' | 'bytes' | 'count';
  readonly says: string;
}

/** Of the platform as a whole, whichever face is asked. */
export const platformLimits = {
  logSubscriptions: {
    value: 100,
    unit: 'count',
    says: 'live readers of the log of one tenant, of all APIs together',
  },
  drainMs: {
    value: 3_600_000,
    unit: 'ms',
    says: 'how long a stream that moves may go on with a revision that was replaced',
  },
  deploysPerTenant: {
    value: 4,
    unit: 'count',
    says: 'calls of one tenant that bring code, at the same time; more wait',
  },
  deployQueue: { value: 256, unit: 'count', says: 'calls of one tenant that wait for such a turn' },
  deployQueueMs: { value: 60_000, unit: 'ms', says: 'time that such a call may wait for its turn' },
  deployBytes: {
    value: 256 * MiB,
    unit: 'bytes',
    says: 'bodies of calls that bring code, of all tenants at the same time; more wait',
  },
  bytecodeFromBytes: {
    value: 256 * KiB,
    unit: 'bytes',
    says: 'code from which on a deploy makes bytecode of it, so that sandboxes need not compile it',
  },
  bytecodeUpToBytes: { value: 6 * MiB, unit: 'bytes', says: 'code up to which it does' },
  bytecodeBytes: { value: 16 * MiB, unit: 'bytes', says: 'bytecode of one revision; more is thrown away' },
  jwksFreshMs: {
    value: 60_000,
    unit: 'ms',
    says: 'how long a key set is believed that does not say so itself (Cache-Control: max-age)',
  },
  jwksFreshLeastMs: { value: 1_000, unit: 'ms', says: 'the same at least, whatever it says' },
  jwksFreshMostMs: { value: 600_000, unit: 'ms', says: 'the same at most, whatever it says' },
  jwksCoolDownMs: {
    value: 1_000,
    unit: 'ms',
    says: 'time between two fetches of one key set; six times its own time where it answers slowly',
  },
} as const satisfies Record<string, FixedLimit>;

export const defaultLimits: Limits = Object.freeze(
  Object.fromEntries(limitNames.map((name) => [name, limitDefinitions[name].default])) as Limits,
);

const limitSchemas = Object.fromEntries(
  limitNames.map((name) => {
    const { floor, ceiling } = limitDefinitions[name];
    return [name, z.number().int().min(floor).max(ceiling).optional()];
  }),
) as Record<LimitName, z.ZodOptional<z.ZodNumber>>;

/** A tenant's own limits: any subset of the names, each between floor and ceiling; unknown names are refused. */
export const limitOverridesSchema = z.strictObject(limitSchemas);
export type LimitOverrides = z.infer<typeof limitOverridesSchema>;

/** Defaults, then the operator's, then the tenant's. */
export function effectiveLimits(...overrides: readonly LimitOverrides[]): Limits {
  const merged: Record<string, number> = { ...defaultLimits };
  for (const override of overrides) {
    for (const [name, value] of Object.entries(override)) if (value !== undefined) merged[name] = value;
  }
  return Object.freeze(merged as Limits);
}
