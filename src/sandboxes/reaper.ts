/** Looks once a second at what only time changes: idle sandboxes (frozen, then ended), long drains, cancelled invocations that do not end. */
import { BerthError } from '../contracts/errors.ts';
import { platformLimits } from '../contracts/limits.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Sandbox } from './sandbox.ts';
import { endingOf } from './verdict.ts';

const SWEEP_MS = 1_000;
/** A cancelled invocation that has not ended after this time makes its sandbox retire; one that drains does not wait for it. */
const STRANDED_MS = 10_000;
const MAX_STRANDED = 100;
const DRAIN_MS = platformLimits.drainMs.value;

/** When what drains was last seen to send or take something. */
interface Movement {
  moves: number;
  at: number;
}

export interface ReaperOptions {
  readonly clock: Clock;
  /** It was idle for freezeMs, or still is. */
  readonly freeze: (sandbox: Sandbox) => void;
  /** What else is to be done once a second. */
  readonly also: () => void;
}

export class Reaper {
  readonly #options: ReaperOptions;
  readonly #clock: Clock;
  /** Open, with nothing to do; the longest idle first. */
  readonly #idle = new Set<Sandbox>();
  readonly #draining = new Map<Sandbox, Movement>();
  readonly #stranded = new Set<Sandbox>();
  #cancel: (() => void) | null = null;

  constructor(options: ReaperOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#arm();
  }

  rest(sandbox: Sandbox): void {
    sandbox.restingSince = this.#clock.monotonic();
    this.#idle.add(sandbox);
  }

  wake(sandbox: Sandbox): void {
    this.#idle.delete(sandbox);
  }

  /** The one that has been idle for longest. */
  get idlest(): Sandbox | null {
    for (const sandbox of this.#idle) return sandbox;
    return null;
  }

  withdrawn(sandbox: Sandbox): void {
    this.#idle.delete(sandbox);
    if (sandbox.runnable !== null && sandbox.state === 'draining')
      this.#draining.set(sandbox, { moves: sandbox.moves, at: this.#clock.monotonic() });
  }

  /** Invocations in it were cancelled. */
  stranded(sandbox: Sandbox): void {
    if (sandbox.isLoaded && sandbox.leases.cancelledCount > MAX_STRANDED) sandbox.retire();
    else this.#stranded.add(sandbox);
  }

  forget(sandbox: Sandbox): void {
    this.#idle.delete(sandbox);
    this.#draining.delete(sandbox);
    this.#stranded.delete(sandbox);
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #arm(): void {
    this.#cancel = this.#clock.after(SWEEP_MS, () => {
      this.#arm();
      this.#sweep();
    });
  }

  #sweep(): void {
    const now = this.#clock.monotonic();
    for (const sandbox of this.#idle) this.#reapIdle(sandbox, now);
    for (const sandbox of this.#stranded) this.#reapStranded(sandbox, now);
    for (const [sandbox, last] of this.#draining) this.#reapDraining(sandbox, last, now);
    this.#options.also();
  }

  #reapIdle(sandbox: Sandbox, now: number): void {
    const { idleMs = 0, freezeMs = 0 } = sandbox.runnable?.limits() ?? {};
    if (now - sandbox.restingSince >= idleMs)
      return sandbox.end(endingOf(new BerthError('SHUTTING_DOWN'), 'idle'));
    // What talks to somebody outside works, though nobody has asked it to.
    const restingSince = Math.max(sandbox.restingSince, sandbox.egressAt);
    if (freezeMs > 0 && now - restingSince >= freezeMs) this.#options.freeze(sandbox);
  }

  #reapStranded(sandbox: Sandbox, now: number): void {
    const since = sandbox.leases.strandedSince;
    if (since === null) this.#stranded.delete(sandbox);
    // What has not loaded cannot end anything; loadMs is its limit.
    else if (sandbox.isLoaded && now - since >= STRANDED_MS) sandbox.retire();
  }

  /** A stream that still moves is not idle: wallMs counts from its last movement, as for who was not replaced. */
  #reapDraining(sandbox: Sandbox, last: Movement, now: number): void {
    if (sandbox.moves !== last.moves) Object.assign(last, { moves: sandbox.moves, at: now });
    const wallMs = sandbox.runnable?.limits().wallMs ?? 0;
    const isAbandoned = sandbox.live === 0 && now - (sandbox.leases.strandedSince ?? now) >= STRANDED_MS;
    if (isAbandoned) sandbox.end(endingOf(new BerthError('SHUTTING_DOWN'), 'retired'));
    else if (now - last.at >= wallMs)
      sandbox.end(endingOf(new BerthError('TIMEOUT', { limit: wallMs }), 'retired'));
    else if (now - sandbox.restingSince >= DRAIN_MS)
      sandbox.end(endingOf(new BerthError('REVISION_REPLACED', { limit: DRAIN_MS }), 'retired'));
  }
}
