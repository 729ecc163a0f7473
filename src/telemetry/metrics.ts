/**
 * What the platform counts. Calls on the path of a request only add to plain numbers; the text is made when it is asked
 * for. No metric is labelled with tenants, functions or anything else that users can make more of.
 */

export interface SandboxGauges {
  readonly blank: number;
  readonly starting: number;
  readonly claimed: number;
  /** of the claimed ones */
  readonly frozen: number;
  /** over, and not yet removed from the host */
  readonly ending: number;
  readonly inFlight: number;
  readonly waiting: number;
}

/** By state, see `ServiceState`. */
export interface ServiceGauges {
  readonly starting: number;
  readonly running: number;
  readonly stopped: number;
  readonly failed: number;
  readonly deleting: number;
}

/** All times are milliseconds. Nothing here throws or waits, but `render`. */
export interface Metrics {
  /** One invocation ended: `ok`, or the code of its error. */
  invocationEnded(outcome: string, ms: number): void;
  /** One HTTP response of any face went out. */
  responseSent(status: number): void;
  /** From the first request that waited to a revision that has loaded. */
  coldStart(ms: number): void;
  /** A sandbox was sent bytecode: V8 took it, or refused it and compiled the code. */
  bytecodeLoaded(outcome: 'taken' | 'refused'): void;
  /** Time that one invocation waited for a sandbox. */
  queueWait(ms: number): void;
  /** From spawn to a runtime that waits for work. */
  sandboxStarted(ms: number): void;
  sandboxStartFailed(): void;
  /** A sandbox ended: an error code, or why it was let go (`idle`, `retired` …). */
  sandboxEnded(reason: string): void;
  deployEnded(isOk: boolean): void;
  logDropped(lines: number, bytes: number): void;
  /** A connection or a look-up of tenants' code was tried: ok, refused, limited, failed. */
  egressTried(kind: 'connect' | 'lookup', outcome: string): void;
  egressBytes(direction: 'in' | 'out', bytes: number): void;
  /** Connections and look-ups that are open; asked at each `render`. */
  watchEgress(read: () => number): void;
  /** Where the gauges come from; asked at each `render`. */
  watchSandboxes(read: () => SandboxGauges): void;
  /** From the order to the first connection that it takes. */
  serviceStarted(ms: number): void;
  serviceStartFailed(): void;
  /** One ended that nobody had told to. */
  serviceEnded(): void;
  /** One that sends too many frames is not read for a while. */
  servicePaused(): void;
  /** As `watchSandboxes`. */
  watchServices(read: () => ServiceGauges): void;
  /** As `watchSandboxes`; bytes. */
  watchServiceDisk(read: () => { readonly all: number; readonly largest: number }): void;
  /** The text that Prometheus scrapes. */
  render(): Promise<string>;
  /** Of what `render` gives. */
  readonly contentType: string;
}

export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly says: string;
}

/** docs/metrics.md is made from this. The metrics of the process itself (`process_*`, `nodejs_*`) come from prom-client. */
export const metricDefinitions = {
  berth_invocations_total: {
    type: 'counter',
    labels: ['outcome'],
    says: 'invocations that ended, by "ok" or error code',
  },
  berth_invocation_duration_seconds: {
    type: 'histogram',
    labels: [],
    says: 'time from request to the end of its invocation',
  },
  berth_http_responses_total: {
    type: 'counter',
    labels: ['class'],
    says: 'HTTP responses of all faces, by class of status',
  },
  berth_cold_start_seconds: {
    type: 'histogram',
    labels: [],
    says: 'time from a request without a sandbox to a loaded revision',
  },
  berth_bytecode_loads_total: {
    type: 'counter',
    labels: ['outcome'],
    says: 'sandboxes that were sent bytecode of large code: taken, refused (V8 compiled it anew)',
  },
  berth_queue_wait_seconds: {
    type: 'histogram',
    labels: [],
    says: 'time that invocations waited for a sandbox',
  },
  berth_sandbox_start_seconds: {
    type: 'histogram',
    labels: [],
    says: 'time from spawn to a sandbox that waits for work',
  },
  berth_sandbox_start_failures_total: {
    type: 'counter',
    labels: [],
    says: 'sandboxes that could not be started',
  },
  berth_sandbox_ends_total: {
    type: 'counter',
    labels: ['reason'],
    says: 'sandboxes that ended, by error code or idle, retired, evicted, surplus',
  },
  berth_sandboxes: {
    type: 'gauge',
    labels: ['state'],
    says: 'sandboxes now: blank, starting, claimed, ending',
  },
  berth_sandboxes_frozen: {
    type: 'gauge',
    labels: [],
    says: 'claimed sandboxes that are idle and get no CPU now',
  },
  berth_invocations_in_flight: { type: 'gauge', labels: [], says: 'invocations that run now' },
  berth_invocations_waiting: { type: 'gauge', labels: [], says: 'invocations that wait for a sandbox now' },
  berth_deploys_total: { type: 'counter', labels: ['result'], says: 'deploys: ok, failed' },
  berth_log_dropped_lines_total: {
    type: 'counter',
    labels: [],
    says: 'lines of tenants’ logs that were dropped at a limit',
  },
  berth_log_dropped_bytes_total: {
    type: 'counter',
    labels: [],
    says: 'bytes of tenants’ logs that were dropped at a limit',
  },
  berth_egress_connects_total: {
    type: 'counter',
    labels: ['outcome'],
    says: 'connections that tenants’ code asked for: ok, refused (policy), limited, failed',
  },
  berth_egress_lookups_total: {
    type: 'counter',
    labels: ['outcome'],
    says: 'look-ups that tenants’ code asked for: ok, refused (policy), limited, failed',
  },
  berth_egress_bytes_total: {
    type: 'counter',
    labels: ['direction'],
    says: 'bytes of outgoing connections: out (sent by tenants’ code), in',
  },
  berth_services: {
    type: 'gauge',
    labels: ['state'],
    says: 'services of tenants now: running, starting, stopped, failed (shall run, is tried again), deleting',
  },
  berth_service_disk_bytes: {
    type: 'gauge',
    labels: ['of'],
    says: 'what services keep on the engine’s disk, as seen last: all together, the largest one',
  },
  berth_service_start_seconds: {
    type: 'histogram',
    labels: [],
    says: 'time from the order to a service that takes connections',
  },
  berth_service_start_failures_total: {
    type: 'counter',
    labels: [],
    says: 'services that did not start; each attempt counts',
  },
  berth_service_ends_total: {
    type: 'counter',
    labels: [],
    says: 'services that ended though they should run; each is started again',
  },
  berth_service_pauses_total: {
    type: 'counter',
    labels: [],
    says: 'times that a service was not read for a while because it sent too many frames',
  },
  berth_egress_open: { type: 'gauge', labels: [], says: 'outgoing connections and look-ups now' },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metricDefinitions;
