/** One service while the platform lives: whether it should run, whether it does, and what is done about the difference. */
import type { ServiceRecord } from '../contracts/model.ts';
import type { ServiceDefinition } from '../contracts/services.ts';
import { ServiceRefusal, type ServiceState, type ServiceStatus, type ServiceTenant } from './services.ts';
import { type RunOptions, ServiceRun } from './service-run.ts';

/** After an end that nobody wanted: at once, then ever later. */
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 60_000;
/** One that ran for so long starts anew with the first pause. */
const STEADY_MS = 60_000;

export interface LiveServiceOptions extends RunOptions {
  readonly definition: ServiceDefinition;
  /** Read at each start. */
  readonly tenant: () => Promise<ServiceTenant>;
  /** As it was seen last. */
  readonly diskBytes: () => number | null;
}

export class LiveService {
  readonly #options: LiveServiceOptions;
  #record: ServiceRecord;
  #run: ServiceRun | null = null;
  #startingRun: ServiceRun | null = null;
  #state: ServiceState = 'stopped';
  #reason: string | null = null;
  /** One change after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #cancelRetry: () => void = () => undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #isClosed = false;
  /** Settles when the start that is under way has succeeded or failed. */
  #starting: Promise<void> = Promise.resolve();

  constructor(options: LiveServiceOptions, record: ServiceRecord) {
    this.#options = options;
    this.#record = record;
  }

  get record(): ServiceRecord {
    return this.#record;
  }

  get status(): ServiceStatus {
    const diskBytes = this.#options.diskBytes();
    return { record: this.#record, state: this.#state, reason: this.#reason, diskBytes };
  }

  get port(): number {
    return this.#options.definition.port;
  }

  /** What the store holds now. */
  change(record: ServiceRecord): void {
    this.#record = record;
  }

  /** Resolves when it runs as the record and its tenant want it. @throws BerthError when it should run and does not start */
  settle(): Promise<void> {
    this.#cancelRetry();
    if (this.#record.wanted !== 'running') this.#startingRun?.abort();
    // From now on who connects waits.
    if (this.#record.wanted === 'running' && this.#state !== 'running') this.#state = 'starting';
    const settled = this.#inTurn(() => this.#settle());
    if (this.#record.wanted === 'running') this.#starting = settled.catch(() => undefined);
    return settled;
  }

  /** As `settle`, but who calls it does not want to know: it is tried again until it runs. */
  async keep(): Promise<void> {
    await this.settle().catch(() => this.#retryLater());
  }

  /** Ends it; then it starts anew where it should run: with another isolation, say. Resolves when it has ended. */
  async restart(): Promise<void> {
    this.#cancelRetry();
    this.#startingRun?.abort();
    await this.#inTurn(() => this.#end());
    void this.keep();
  }

  /** @throws ServiceRefusal when it does not run, or does not start in time */
  async running(signal: AbortSignal): Promise<ServiceRun> {
    if (this.#state === 'starting') await Promise.race([this.#starting, aborted(signal)]);
    if (this.#state === 'running' && this.#run !== null) return this.#run;
    if (this.#state === 'starting') throw new ServiceRefusal('ETIMEDOUT', `${this.#words} is still starting`);
    throw new ServiceRefusal('ECONNREFUSED', `${this.#words} does not run`);
  }

  /** For good. @throws Error when it could not be removed */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry();
    this.#startingRun?.abort();
    await this.#inTurn(() => this.#end());
  }

  get #words(): string {
    return `the service ${this.#record.name}`;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #settle(): Promise<void> {
    const tenant = await this.#options.tenant();
    const shallRun = this.#record.wanted === 'running' && tenant.isActive && !this.#isClosed;
    if (!shallRun) return this.#end();
    if (this.#state === 'running') return;
    await this.#start(tenant);
  }

  async #start({ isolation }: ServiceTenant): Promise<void> {
    const { definition, clock, observe } = this.#options;
    const run = new ServiceRun(this.#options, { record: this.#record, definition, isolation });
    [this.#state, this.#reason] = ['starting', null];
    this.#startingRun = run;
    const startedAt = clock.monotonic();
    try {
      await run.start();
    } catch (error) {
      [this.#state, this.#reason] = ['failed', error instanceof Error ? error.message : String(error)];
      if (!run.isAbandoned) observe({ kind: 'start-failed' });
      throw error;
    } finally {
      this.#startingRun = null;
    }
    [this.#run, this.#state] = [run, 'running'];
    observe({ kind: 'started', ms: clock.monotonic() - startedAt });
    void this.#watch(run);
  }

  async #watch(run: ServiceRun): Promise<void> {
    const { clock, log, observe } = this.#options;
    const startedAt = clock.monotonic();
    await run.ended();
    if (this.#run !== run) return;
    observe({ kind: 'ended' });
    const { tenant, name } = this.#record;
    log.warn({ tenant, service: name, said: run.lastWords }, 'a service ended; it is started again');
    if (clock.monotonic() - startedAt > STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS;
    await this.#inTurn(async () => {
      if (this.#run !== run) return;
      await this.#end();
      [this.#state, this.#reason] = ['failed', 'it ended by itself'];
    }).catch((error: unknown) => {
      log.error({ tenant, service: name, err: error }, 'what is left of a service could not be removed');
    });
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#isClosed || this.#record.wanted !== 'running') return;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
    this.#cancelRetry = this.#options.clock.after(pauseMs, () => void this.keep());
  }

  async #end(): Promise<void> {
    const run = this.#run;
    this.#run = null;
    [this.#state, this.#reason] = [this.#record.wanted === 'deleting' ? 'deleting' : 'stopped', null];
    await run?.end();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
