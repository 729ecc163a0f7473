/** One sandbox: performs the effects of its life, counts its leases, keeps the evidence of its end. */
import { BerthError } from '../contracts/errors.ts';
import type { Hello, Loaded } from '../contracts/frames.ts';
import type { SandboxId } from '../contracts/ids.ts';
import type { SandboxExit, SandboxLimits } from '../drivers/driver.ts';
import { withDeadline } from '../kernel/deadline.ts';
import type { Channel, ChannelEvents } from './channel/channel.ts';
import { callerOf } from './egress/caller.ts';
import { areSameLimits, sandboxLimitsOf } from './heap-class.ts';
import { LeaseBook } from './lease-book.ts';
import type { SandboxLease } from './lease.ts';
import { type Life, type LifeEffect, type LifeEvent, stepLife } from './life-cycle.ts';
import { changeable, type Mould } from './mould.ts';
import { framesText, placeOf } from './place.ts';
import type { Claimant, SandboxKeeper } from './sandbox-keeper.ts';
import type { SandboxPlan } from './sandbox-plan.ts';
import { SandboxProcess } from './sandbox-process.ts';
import type { Runnable } from './sandboxes.ts';
import type { SandboxServices } from './services.ts';
import { TenantLog } from './tenant-log.ts';
import {
  endingOf,
  type Ending,
  type Evidence,
  startError,
  type Suspicion,
  suspicionError,
  verdictOf,
} from './verdict.ts';

/** How long the channel's end waits for the driver's word, and the other way round. */
const VERDICT_MS = 1_000;
/** The driver has its own limit of two seconds; this one is for a driver that does not keep it. */
const LOCATE_MS = 2_500;
/** Longer than any driver's own limit for a change of limits. */
const UPDATE_MS = 7_000;

export class Sandbox {
  readonly id: SandboxId;
  readonly mould: Mould;
  readonly isRefill: boolean;
  readonly log: TenantLog;
  readonly leases: LeaseBook;
  readonly #services: SandboxServices;
  readonly #keeper: SandboxKeeper;
  readonly #process: SandboxProcess;
  readonly #plan: SandboxPlan;
  #limits: SandboxLimits;
  #limiting: Promise<void> | null = null;
  #life: Life = { state: 'starting', isCreated: false, isGreeted: false };
  #channel: Channel | null = null;
  #runnable: Runnable | null = null;
  #claimant: Claimant | null = null;
  #isLoaded = false;
  #evidence: Evidence = { exit: null, violation: null, fatal: null, suspicion: null };
  #ending: Ending | null = null;
  #cancelLoad: () => void = () => undefined;
  #cancelVerdict: () => void = () => undefined;
  /** When it last became idle, or was withdrawn; monotonic. */
  restingSince = 0;

  constructor(services: SandboxServices, keeper: SandboxKeeper, plan: SandboxPlan) {
    this.id = services.newId();
    this.mould = plan.mould;
    this.isRefill = plan.isRefill;
    this.log = new TenantLog(services, this.id);
    this.#limits = plan.mould.limits;
    this.#plan = plan;
    this.#services = services;
    this.#keeper = keeper;
    this.#process = new SandboxProcess(services, this.id);
    this.leases = this.#openLeaseBook();
  }

  get state(): Life['state'] {
    return this.#life.state;
  }

  /** Invocations whose callers still listen, and leases not used yet: what counts against concurrencyPerSandbox. */
  get live(): number {
    return this.leases.live;
  }

  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get limits(): SandboxLimits {
    return this.#limits;
  }

  get runnable(): Runnable | null {
    return this.#runnable;
  }

  get claimant(): Claimant | null {
    return this.#claimant;
  }

  /** Invocations that have not ended, cancelled ones included. */
  get openCount(): number {
    return this.leases.openCount;
  }

  // --- verbs

  start(): void {
    this.#process
      .start({
        limits: this.#limits,
        heapMb: this.mould.heapMb,
        kind: this.mould.kind,
        onCreated: () => this.#take({ type: 'created' }),
        onSocket: (socket) => this.#connect(socket),
      })
      .catch((error: unknown) => this.#failStart(error));
  }

  /** @returns false when it is not blank; then nothing happened */
  claim(runnable: Runnable, claimant: Claimant): boolean {
    if (this.#life.state !== 'blank') return false;
    this.#runnable = runnable;
    this.#claimant = claimant;
    this.log.assign(runnable);
    this.#take({ type: 'claimed', key: runnable.key });
    return true;
  }

  /** It will wait in the pool: it gets ready for any function meanwhile. */
  exercise(withFetch: boolean): void {
    this.#channel?.exercise(withFetch);
  }

  /** Sends the revision; requests may follow at once. */
  load(payload: Buffer): void {
    const channel = this.#channel;
    if (channel === null || this.#life.state !== 'loading' || this.#runnable === null) return;
    const { loadMs } = this.#runnable.limits();
    channel.load(payload);
    this.#cancelLoad = this.#services.clock.after(loadMs, () =>
      this.suspect({ code: 'LOAD_TIMEOUT', limit: loadMs }),
    );
  }

  /** Takes a place. The caller has checked that there is one. */
  lease(): SandboxLease {
    return this.leases.lease();
  }

  ping(nonce: number): void {
    this.#channel?.ping(nonce);
  }

  get progress(): number {
    return this.#channel?.progress ?? 0;
  }

  get moves(): number {
    return this.#channel?.moves ?? 0;
  }

  get egressAt(): number {
    return this.#channel?.egressAt ?? 0;
  }

  retire(): void {
    this.#take({ type: 'retired', isEmpty: this.openCount === 0 });
  }

  /** It blocks, or does not load: asks where, then kills it. */
  suspect(suspicion: Suspicion): void {
    const life = this.#life;
    const isRunning = life.state === 'loading' || life.state === 'ready';
    if (!isRunning && !(life.state === 'draining' && life.awaits === 'empty')) return;
    this.#evidence = { ...this.#evidence, suspicion };
    this.#take({ type: 'suspected' });
  }

  /** Kills it now, for a reason that is settled. */
  end(ending: Ending): void {
    if (this.#life.state === 'gone') return;
    this.#ending = ending;
    this.#take({ type: 'judged' });
  }

  /** The driver says that its processes have ended. */
  exited(exit: SandboxExit): void {
    if (this.#life.state === 'gone') return;
    this.#evidence = { ...this.#evidence, exit };
    if (this.#life.state === 'starting') this.#logStart(exit);
    this.#take({ type: 'exited' });
  }

  /** Settles when the limits of now are in force, or it is gone for lack of them; null when they are in force. */
  get limiting(): Promise<void> | null {
    return this.#limiting;
  }

  /** Brings its limits to those of its tenant. @throws what the driver throws; the sandbox is killed then */
  async applyLimits(): Promise<void> {
    if (this.#runnable === null || this.#life.state === 'gone') return;
    const limits = this.#runnable.limits();
    this.#channel?.setLogRate(limits.logBytesPerSecond);
    const wanted = changeable(this.mould, sandboxLimitsOf(limits));
    if (areSameLimits(wanted, this.#limits)) return await (this.#limiting ?? undefined);
    this.#limits = wanted;
    const limiting = this.#setLimits(wanted, this.#limiting);
    this.#limiting = limiting;
    await limiting;
    if (this.#limiting === limiting) this.#limiting = null;
  }

  /** One change after the other: the last one holds. */
  async #setLimits(wanted: SandboxLimits, before: Promise<void> | null): Promise<void> {
    if (before !== null) await before;
    const { clock, driver } = this.#services;
    try {
      await withDeadline(clock, UPDATE_MS, driver.update(this.id, wanted));
    } catch (error) {
      this.#services.log.error({ err: error, sandbox: this.id }, 'limits of a sandbox were not applied');
      this.end(endingOf(new BerthError('SANDBOX_START_FAILED', {}, { cause: error })));
      throw error;
    }
  }

  /** Of one that is gone: removes it from the host; again when that failed. @throws the driver's last error */
  remove(): Promise<void> {
    return this.#process.remove();
  }

  /** Resolves when nothing of it is left on the host; rejects when the first attempt failed. */
  get whenRemoved(): Promise<void> {
    return this.#process.whenRemoved;
  }

  #openLeaseBook(): LeaseBook {
    return new LeaseBook({
      channel: () => (this.#ending === null ? this.#channel : null),
      endError: () => this.#ending?.error ?? new BerthError('SANDBOX_START_FAILED'),
      now: () => this.#services.clock.monotonic(),
      onLeased: () => this.#keeper.leased(this),
      onFreed: () => this.#keeper.freed(this),
      onStranded: () => this.#keeper.stranded(this),
      onEmpty: () => {
        if (this.#life.state === 'draining') this.#take({ type: 'emptied' });
      },
    });
  }

  // --- the channel

  #connect(socket: Parameters<SandboxServices['openChannel']>[0]['socket']): void {
    if (this.#life.state === 'gone') return void socket.destroy();
    const { openChannel, defaultLimits, clock, egress } = this.#services;
    const now = (): number => clock.monotonic();
    this.#channel = openChannel({
      socket,
      events: this.#events(),
      logBytesPerSecond: defaultLimits().logBytesPerSecond,
      egress: () => egress.forSandbox(callerOf(this.#runnable!, this.log)),
      now,
    });
  }

  #events(): ChannelEvents {
    return {
      onHello: (hello) => this.#greeted(hello),
      onLoaded: (loaded) => this.#onLoaded(loaded),
      onLog: (invocation, level, text) => this.log.console(invocation, level, text),
      onLogDropped: (lines, bytes) => this.log.dropped(lines, bytes),
      onPong: (nonce) => this.#keeper.ponged(this, nonce),
      onFatal: (reason, stack) => this.#onFatal(reason, stack),
      onFault: (thrown) => this.#tell('error', thrown, 'a channel failed by our fault'),
      onClosed: (violation) => this.#onClosed(violation),
    };
  }

  #greeted(hello: Hello): void {
    this.#services.log.debug({ sandbox: this.id, node: hello.node }, 'a sandbox says hello');
    this.#take({ type: 'greeted' });
  }

  #onLoaded(loaded: Loaded): void {
    if (this.#life.state === 'gone') return;
    if (!loaded.ok) {
      if (loaded.stack !== undefined) this.log.error(loaded.stack);
      return this.#judge(new BerthError(loaded.code, { reason: loaded.reason }));
    }
    this.#cancelLoad();
    this.#isLoaded = true;
    this.#take({ type: 'loaded' });
    this.#keeper.loaded(this, loaded);
  }

  #onFatal(reason: string, stack: string | undefined): void {
    this.#evidence = { ...this.#evidence, fatal: { reason, stack } };
    if (stack !== undefined) this.log.error(stack);
    this.#take({ type: 'crashing' });
  }

  #onClosed(violation: BerthError | null): void {
    if (this.#life.state === 'gone') return;
    if (violation === null) return this.#take({ type: 'closed' });
    if (violation.code === 'PROTOCOL_VIOLATION') this.#tell('warn', violation, 'protocol violation');
    this.#evidence = { ...this.#evidence, violation };
    this.#judge(violation);
  }

  #tell(level: 'warn' | 'error', err: unknown, text: string): void {
    this.#services.log[level]({ err, sandbox: this.id, tenant: this.#runnable?.tenant }, text);
  }

  // --- effects

  #take(event: LifeEvent): void {
    const { life, effects } = stepLife(this.#life, event);
    this.#life = life;
    for (const effect of effects) this.#perform(effect, event.type);
  }

  #perform(effect: LifeEffect, cause: LifeEvent['type']): void {
    switch (effect) {
      case 'offer':
        this.#process.started();
        return this.#keeper.offered(this);
      case 'load':
        return void this.applyLimits().catch(() => undefined);
      case 'withdraw':
        this.restingSince = this.#services.clock.monotonic();
        return this.#keeper.withdrawn(this);
      case 'await-exit':
      case 'await-close':
        this.#cancelVerdict = this.#services.clock.after(VERDICT_MS, () => this.#take({ type: 'judged' }));
        return;
      case 'locate':
        return void this.#locate();
      case 'end':
        return this.#finish(cause);
    }
  }

  async #locate(): Promise<void> {
    const { driver, clock, log } = this.#services;
    const { suspicion } = this.#evidence;
    if (suspicion === null || this.#runnable === null) return;
    const frames = await withDeadline(clock, LOCATE_MS, driver.locate(this.id)).catch((error: unknown) => {
      log.warn({ err: error, sandbox: this.id }, 'the place of a blocked sandbox was not found');
      return [];
    });
    const places = await this.#plan.places.resolve(frames, this.#runnable);
    this.#judge(suspicionError(suspicion, placeOf(places)), framesText(places));
  }

  #judge(error: BerthError, detail = ''): void {
    if (this.#life.state === 'gone') return;
    this.#ending = endingOf(error);
    if (detail !== '') this.log.error(`It was ended here:${detail}`);
    this.#sayEnd(error);
    this.#take({ type: 'judged' });
  }

  #finish(cause: LifeEvent['type']): void {
    this.#cancelLoad();
    this.#cancelVerdict();
    const ending = (this.#ending ??= this.#endingBy(cause));
    this.#channel?.close(ending.error);
    this.#keeper.ended(this, ending);
  }

  #endingBy(cause: LifeEvent['type']): Ending {
    if (this.#runnable === null) return endingOf(new BerthError('SANDBOX_START_FAILED'));
    if (cause === 'retired' || cause === 'emptied')
      return endingOf(new BerthError('SHUTTING_DOWN'), 'retired');
    const error = verdictOf(this.#evidence, this.#limits.memoryBytes);
    this.#logDeath(error);
    return endingOf(error);
  }

  #logDeath(error: BerthError): void {
    const tail = this.#evidence.exit?.stderrTail ?? '';
    if (tail !== '' && this.#evidence.fatal === null) this.log.error(tail);
    this.#sayEnd(error);
  }

  /** Who still listens is told, and puts it into the log with the invocation: this is for an end that nobody else tells. */
  #sayEnd(error: BerthError): void {
    if (this.live === 0) this.log.platform('error', `${error.code}: ${error.message}`);
  }

  #failStart(error: unknown): void {
    if (this.#life.state === 'gone') return;
    this.#services.log.error({ err: error, sandbox: this.id }, 'a sandbox did not start');
    this.end(endingOf(startError(error)));
  }

  #logStart({ id: sandbox, ...how }: SandboxExit): void {
    this.#services.log.error({ sandbox, ...how }, 'a sandbox ended while it started');
  }
}
