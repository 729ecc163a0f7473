/**
 * Notices, from outside, code that blocks its event loop (design, section 5). Sandboxes with open invocations are pinged;
 * one that does not answer for blockedMs is judged by its use of CPU. Idle sandboxes cost nothing.
 */
import type { SandboxId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import { TimerWheel, WheelEntry } from '../kernel/timer-wheel.ts';
import { judgeBlocked, judgeSpin, type UsageSample } from './blocked-judge.ts';
import type { PlatformLog } from './services.ts';
import type { Suspicion } from './verdict.ts';

/** A sandbox as the watchdog sees it. */
export interface Watched {
  readonly id: SandboxId;
  readonly isLoaded: boolean;
  readonly openCount: number;
  /** Grows with each frame that moves an invocation. */
  readonly progress: number;
  readonly runnable: { limits(): Limits } | null;
  readonly state: string;
  ping(nonce: number): void;
  suspect(suspicion: Suspicion): void;
}

export interface WatchdogOptions {
  readonly driver: Pick<Driver, 'usage'>;
  readonly clock: Clock;
  readonly log: PlatformLog;
}

const TICK_MS = 25;
const PINGS_PER_BLOCKED_MS = 4;
const USAGE_MS = 1_000;
/** A call that is later than this was held up by the host's own event loop. */
const LATE_MS = 2 * TICK_MS;
const MAX_NONCE = 0xffff_ffff;
/** Turns of the event loop in which a pong may still be read before a sandbox is judged. */
const INPUT_TURNS = 2;

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #wheel: TimerWheel;
  readonly #watches = new Map<Watched, Watch>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#wheel = new TimerWheel(options.clock, TICK_MS);
  }

  /** Watched at this moment. */
  get size(): number {
    return this.#watches.size;
  }

  watches(sandbox: Watched): boolean {
    return this.#watches.has(sandbox);
  }

  /** Watches from now on, until it is idle. Cheap when it is watched already. */
  begin(sandbox: Watched): void {
    if (!sandbox.isLoaded || this.#watches.has(sandbox)) return;
    const watch = new Watch(sandbox, this.#options, this.#wheel, () => this.#watches.delete(sandbox));
    this.#watches.set(sandbox, watch);
    watch.begin();
  }

  ponged(sandbox: Watched, nonce: number): void {
    this.#watches.get(sandbox)?.ponged(nonce);
  }

  /** The sandbox is gone, or on its way. */
  forget(sandbox: Watched): void {
    this.#watches.get(sandbox)?.stop();
  }

  close(): void {
    for (const watch of this.#watches.values()) watch.stop();
    this.#wheel.close();
  }
}

class Watch extends WheelEntry {
  readonly #sandbox: Watched;
  readonly #options: WatchdogOptions;
  readonly #wheel: TimerWheel;
  readonly #onStop: () => void;
  #nonce = 0;
  /** When the ping that is not answered was sent, moved on by the host's own delays; null when none is. */
  #pingedAt: number | null = null;
  #sample: UsageSample | null = null;
  /** The first sample since that ping. */
  #firstSample: UsageSample | null = null;
  #spinSample: UsageSample | null = null;
  #progress = -1;
  #isMeasuring = false;
  #isStopped = false;

  constructor(sandbox: Watched, options: WatchdogOptions, wheel: TimerWheel, onStop: () => void) {
    super();
    this.#sandbox = sandbox;
    this.#options = options;
    this.#wheel = wheel;
    this.#onStop = onStop;
  }

  begin(): void {
    this.#wheel.schedule(this, this.#period());
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#wheel.remove(this);
    this.#onStop();
  }

  ponged(nonce: number): void {
    if (nonce !== this.#nonce) return;
    this.#pingedAt = null;
    this.#sample = null;
    this.#firstSample = null;
  }

  override onDue(lateMs: number): void {
    const { openCount, state } = this.#sandbox;
    if (state === 'gone') return this.stop();
    if (this.#pingedAt !== null) return this.#onUnanswered(lateMs);
    // A sandbox is let go only between pings: one that blocks after its last response is still found.
    if (openCount === 0) return this.stop();
    this.#nonce = (this.#nonce % MAX_NONCE) + 1;
    this.#pingedAt = this.#now();
    this.#sandbox.ping(this.#nonce);
    this.#checkSpin();
    this.#wheel.schedule(this, this.#period());
  }

  #onUnanswered(lateMs: number): void {
    const { blockedMs } = this.#limits();
    if (lateMs > LATE_MS) this.#pingedAt! += lateMs;
    const waited = this.#now() - this.#pingedAt!;
    if (waited >= blockedMs) return void this.#judge();
    if (this.#firstSample === null) void this.#takeSample();
    this.#wheel.schedule(this, Math.min(this.#period(), blockedMs - waited));
  }

  /** Never rejects. The watch is not scheduled while this runs. */
  async #judge(): Promise<void> {
    for (let turn = 0; turn < INPUT_TURNS; turn++) await this.#inputHandled();
    const before = this.#sample;
    const after = this.#pingedAt === null ? null : await this.#measure();
    if (this.#isStopped) return;
    const limits = this.#limits();
    const { blockedMs, memoryBytes } = limits;
    const waited = this.#pingedAt === null ? 0 : (this.#now() - this.#pingedAt) / blockedMs;
    const judgement = judgeBlocked({ waited, first: this.#firstSample, before, after, limits });
    if (judgement === 'blocks')
      return this.#suspect({ code: 'EVENT_LOOP_BLOCKED', name: 'blockedMs', limit: blockedMs });
    if (judgement === 'fills-memory') return this.#suspect({ code: 'MEMORY_LIMIT', limit: memoryBytes });
    if (this.#pingedAt !== null) this.#sample = after;
    this.#wheel.schedule(this, this.#period());
  }

  /** The loop turns: does it do anything but turn? */
  #checkSpin(): void {
    const { progress } = this.#sandbox;
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#spinSample = null;
      return;
    }
    const isDue = this.#spinSample === null || this.#now() - this.#spinSample.at >= this.#limits().spinMs;
    if (isDue && !this.#isMeasuring) void this.#judgeSpin();
  }

  /** Never rejects. */
  async #judgeSpin(): Promise<void> {
    this.#isMeasuring = true;
    const after = await this.#measure();
    this.#isMeasuring = false;
    if (this.#isStopped || this.#sandbox.progress !== this.#progress) return;
    const before = this.#spinSample;
    const limits = this.#limits();
    const judgement = before === null || after === null ? 'works' : judgeSpin(before, after, limits);
    if (judgement === 'works') this.#spinSample = after;
    if (judgement === 'spins')
      this.#suspect({ code: 'EVENT_LOOP_BLOCKED', name: 'spinMs', limit: limits.spinMs });
  }

  #suspect(suspicion: Suspicion): void {
    this.stop();
    this.#sandbox.suspect(suspicion);
  }

  async #takeSample(): Promise<void> {
    const pingedAt = this.#pingedAt;
    const sample = await this.#measure();
    if (this.#pingedAt === null || pingedAt === null) return;
    this.#firstSample ??= sample;
    this.#sample ??= sample;
  }

  async #measure(): Promise<UsageSample | null> {
    const { driver, clock, log } = this.#options;
    try {
      const usage = await withDeadline(clock, USAGE_MS, driver.usage(this.#sandbox.id));
      return usage === null ? null : { usage, at: this.#now() };
    } catch (error) {
      log.warn({ err: error, sandbox: this.#sandbox.id }, 'the usage of a sandbox was not measured');
      return null;
    }
  }

  #inputHandled(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.afterInput(resolve);
    });
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }

  #period(): number {
    return this.#limits().blockedMs / PINGS_PER_BLOCKED_MS;
  }

  #limits(): Limits {
    return this.#sandbox.runnable!.limits();
  }
}
