/** `Metrics` on prom-client. */
import { Registry, collectDefaultMetrics } from 'prom-client';
import type { Metrics, SandboxGauges, ServiceGauges } from './metrics.ts';
import { TallyCounter, TallyHistogram, readGauge } from './tallies.ts';

const REQUEST_MS = [
  0.5, 1, 2, 3, 5, 7.5, 10, 15, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000,
  900_000,
];
const START_MS = [1, 2, 3, 5, 10, 20, 40, 60, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];
const SERVICE_START_MS = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000];
const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
const OUTCOMES = ['ok', 'refused', 'limited', 'failed'] as const;
const none: SandboxGauges = {
  blank: 0,
  starting: 0,
  claimed: 0,
  frozen: 0,
  ending: 0,
  inFlight: 0,
  waiting: 0,
};
const noServices: ServiceGauges = { starting: 0, running: 0, stopped: 0, failed: 0, deleting: 0 };

export interface MetricsOptions {
  /** Memory, CPU, event loop and collector of this process too; false in tests, as they start observers. */
  readonly withProcess?: boolean;
}

export function createMetrics({ withProcess = true }: MetricsOptions = {}): Metrics {
  return new PrometheusMetrics(withProcess);
}

class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #invocations = new TallyCounter('berth_invocations_total', this.#registry, ['ok']);
  readonly #duration = new TallyHistogram('berth_invocation_duration_seconds', this.#registry, REQUEST_MS);
  readonly #responses = new TallyCounter('berth_http_responses_total', this.#registry, CLASSES);
  readonly #coldStart = new TallyHistogram('berth_cold_start_seconds', this.#registry, START_MS);
  readonly #bytecode = new TallyCounter('berth_bytecode_loads_total', this.#registry, ['taken', 'refused']);
  readonly #queueWait = new TallyHistogram('berth_queue_wait_seconds', this.#registry, REQUEST_MS);
  readonly #start = new TallyHistogram('berth_sandbox_start_seconds', this.#registry, START_MS);
  readonly #startFailures = new TallyCounter('berth_sandbox_start_failures_total', this.#registry);
  readonly #ends = new TallyCounter('berth_sandbox_ends_total', this.#registry);
  readonly #deploys = new TallyCounter('berth_deploys_total', this.#registry, ['ok', 'failed']);
  readonly #droppedLines = new TallyCounter('berth_log_dropped_lines_total', this.#registry);
  readonly #droppedBytes = new TallyCounter('berth_log_dropped_bytes_total', this.#registry);
  readonly #connects = new TallyCounter('berth_egress_connects_total', this.#registry, OUTCOMES);
  readonly #lookups = new TallyCounter('berth_egress_lookups_total', this.#registry, OUTCOMES);
  readonly #egressBytes = new TallyCounter('berth_egress_bytes_total', this.#registry, ['in', 'out']);
  readonly #serviceStart = new TallyHistogram(
    'berth_service_start_seconds',
    this.#registry,
    SERVICE_START_MS,
  );
  readonly #serviceFailures = new TallyCounter('berth_service_start_failures_total', this.#registry);
  readonly #serviceEnds = new TallyCounter('berth_service_ends_total', this.#registry);
  readonly #servicePauses = new TallyCounter('berth_service_pauses_total', this.#registry);
  #readSandboxes = (): SandboxGauges => none;
  #readServices = (): ServiceGauges => noServices;
  #readServiceDisk = (): Readonly<Record<'all' | 'largest', number>> => ({ all: 0, largest: 0 });
  #readEgress = (): number => 0;

  constructor(withProcess: boolean) {
    if (withProcess) collectDefaultMetrics({ register: this.#registry });
    readGauge('berth_sandboxes', this.#registry, () => {
      const { blank, starting, claimed, ending } = this.#readSandboxes();
      return { blank, starting, claimed, ending };
    });
    readGauge('berth_services', this.#registry, () => ({ ...this.#readServices() }));
    readGauge('berth_service_disk_bytes', this.#registry, () => this.#readServiceDisk());
    readGauge('berth_egress_open', this.#registry, () => this.#readEgress());
    readGauge('berth_sandboxes_frozen', this.#registry, () => this.#readSandboxes().frozen);
    readGauge('berth_invocations_in_flight', this.#registry, () => this.#readSandboxes().inFlight);
    readGauge('berth_invocations_waiting', this.#registry, () => this.#readSandboxes().waiting);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  invocationEnded(outcome: string, ms: number): void {
    this.#invocations.add(outcome);
    this.#duration.add(ms);
  }

  responseSent(status: number): void {
    this.#responses.add(CLASSES[((status / 100) | 0) - 1] ?? '5xx');
  }

  coldStart(ms: number): void {
    this.#coldStart.add(ms);
  }

  bytecodeLoaded(outcome: 'taken' | 'refused'): void {
    this.#bytecode.add(outcome);
  }

  queueWait(ms: number): void {
    this.#queueWait.add(ms);
  }

  sandboxStarted(ms: number): void {
    this.#start.add(ms);
  }

  sandboxStartFailed(): void {
    this.#startFailures.add();
  }

  sandboxEnded(reason: string): void {
    this.#ends.add(reason);
  }

  deployEnded(isOk: boolean): void {
    this.#deploys.add(isOk ? 'ok' : 'failed');
  }

  logDropped(lines: number, bytes: number): void {
    this.#droppedLines.add('', lines);
    this.#droppedBytes.add('', bytes);
  }

  egressTried(kind: 'connect' | 'lookup', outcome: string): void {
    (kind === 'connect' ? this.#connects : this.#lookups).add(outcome);
  }

  egressBytes(direction: 'in' | 'out', bytes: number): void {
    this.#egressBytes.add(direction, bytes);
  }

  watchEgress(read: () => number): void {
    this.#readEgress = read;
  }

  watchSandboxes(read: () => SandboxGauges): void {
    this.#readSandboxes = read;
  }

  serviceStarted(ms: number): void {
    this.#serviceStart.add(ms);
  }

  serviceStartFailed(): void {
    this.#serviceFailures.add();
  }

  serviceEnded(): void {
    this.#serviceEnds.add();
  }

  servicePaused(): void {
    this.#servicePauses.add();
  }

  watchServices(read: () => ServiceGauges): void {
    this.#readServices = read;
  }

  watchServiceDisk(read: () => { readonly all: number; readonly largest: number }): void {
    this.#readServiceDisk = read;
  }

  render(): Promise<string> {
    return this.#registry.metrics();
  }
}
