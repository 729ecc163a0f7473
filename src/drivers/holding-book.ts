/**
 * The life of what a driver makes, from the order to the last trace, whatever it is made of: given up while it is made,
 * watched from then on, told of once, and tried again where something of it survives.
 */
import { BerthError } from '../contracts/errors.ts';
import type { SandboxId } from '../contracts/ids.ts';
import { systemClock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import { allApplied } from './all-applied.ts';
import type { SandboxExit, SandboxLimits, SandboxSpec } from './driver.ts';
import type { DriverLog } from './driver-log.ts';

/** Between two attempts to kill or remove what did not go: an engine may be away for minutes. */
const AGAIN_MS = 10_000;

export interface HeldSandbox {
  /** What it wrote to descriptor 2. */
  readonly stderrText: string;
  /** Resolves when nothing of it is left on the host. @throws Error when something survives */
  ended(): Promise<SandboxExit>;
}

/** What there is of one; filled as it is made, emptied when it has ended. */
export interface Holding<S extends HeldSandbox = HeldSandbox> {
  readonly spec: Pick<SandboxSpec, 'id' | 'channelDir'>;
  limits: SandboxLimits;
  /** Of the pool. */
  uid: number | null;
  sandbox: S | null;
  /** Settles when nothing of it is left; a new one after each failure. */
  gone: PromiseWithResolvers<void>;
  isStuck: boolean;
  isDoomed: boolean;
  isCreated: boolean;
  /** What ails it is in the log: an engine may be away for long. */
  isTold: boolean;
}

export interface HoldingBookOptions<H> {
  readonly log: DriverLog;
  /** Within which it is gone once it has been doomed. */
  readonly destroyMs: number;
  /** Sees to it that it ends. Idempotent. */
  readonly kill: (holding: H) => void;
  /** Removes what there is of one that never was created. */
  readonly discard: (holding: H) => Promise<void>;
  /** Nothing of it is left: gives back what it had. */
  readonly release: (holding: H) => Promise<void>;
}

export class HoldingBook<H extends Holding> {
  readonly #options: HoldingBookOptions<H>;
  readonly #holdings = new Map<SandboxId, H>();
  /** Called once for each that was created, when it has ended. */
  onExit: (exit: SandboxExit) => void = () => undefined;

  constructor(options: HoldingBookOptions<H>) {
    this.#options = options;
  }

  get(id: SandboxId): H | undefined {
    return this.#holdings.get(id);
  }

  values(): Iterable<H> {
    return this.#holdings.values();
  }

  /** @throws BerthError `code` when `start` fails; nothing is left over then. Aborting dooms it. */
  async make(
    holding: H,
    signal: AbortSignal,
    how: {
      readonly code: 'SANDBOX_START_FAILED' | 'SERVICE_START_FAILED';
      readonly start: () => Promise<void>;
    },
  ): Promise<void> {
    const { id } = holding.spec;
    if (this.#holdings.has(id)) throw new BerthError(how.code, {}, { cause: 'the id is in use' });
    this.#holdings.set(id, holding);
    const abort = (): void => this.#doom(holding);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      await how.start();
      holding.isCreated = true;
      void this.#watch(holding);
      if (holding.isDoomed) this.#doom(holding);
    } catch (error) {
      const said = holding.sandbox?.stderrText;
      await this.#abandon(holding);
      // One that was given up, as all that start when the platform stops, is no fault, unless it said something itself.
      if (!holding.isDoomed || (said ?? '') !== '')
        this.#options.log.warn({ sandbox: id, err: error, said }, 'a sandbox could not be started');
      throw error instanceof BerthError ? error : new BerthError(how.code, {}, { cause: error });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Idempotent. @throws Error when something of it survives */
  async destroy(id: SandboxId): Promise<void> {
    const holding = this.#holdings.get(id);
    if (holding === undefined) return;
    this.#doom(holding);
    if (holding.isStuck) void this.#finish(holding);
    await withDeadline(systemClock, this.#options.destroyMs, holding.gone.promise);
  }

  async destroyAll(): Promise<void> {
    await allApplied([...this.#holdings.keys()].map((id) => this.destroy(id)));
  }

  tellOnce(holding: H, error: unknown, text: string): void {
    if (!holding.isTold) this.#options.log.warn({ sandbox: holding.spec.id, err: error }, text);
    holding.isTold = true;
  }

  #doom(holding: H): void {
    holding.isDoomed = true;
    this.#options.kill(holding);
  }

  /** From the moment it is created: waits for its end, tells of it, once. */
  async #watch(holding: H): Promise<void> {
    try {
      const exit = await holding.sandbox!.ended();
      await this.#release(holding);
      this.onExit(exit);
      holding.gone.resolve();
    } catch (error) {
      this.#markStuck(holding, error);
    }
  }

  /** It never was created: nothing may be left, nobody is told. */
  async #abandon(holding: H): Promise<void> {
    try {
      await this.#options.discard(holding);
      await this.#release(holding);
      holding.gone.resolve();
    } catch (error) {
      this.#markStuck(holding, error);
    }
  }

  /** What is stuck, once more. */
  async #finish(holding: H): Promise<void> {
    holding.isStuck = false;
    await (holding.isCreated ? this.#watch(holding) : this.#abandon(holding));
  }

  /**
   * Something of it survives: it stays in the books, `destroy` tells its caller, and may be called again. Of one that never was
   * created nobody knows, so it is tried again without being asked.
   */
  #markStuck(holding: H, error: unknown): void {
    this.tellOnce(holding, error, 'a sandbox could not be removed; it is tried again');
    holding.gone.reject(error);
    holding.gone = newGone();
    holding.isStuck = true;
    later(() => {
      if (holding.isStuck) void this.#finish(holding);
    });
  }

  async #release(holding: H): Promise<void> {
    await this.#options.release(holding);
    this.#holdings.delete(holding.spec.id);
  }
}

/** Keeps no process alive: the next start removes what is left. */
export function later(work: () => void): void {
  setTimeout(work, AGAIN_MS).unref();
}

export function newHolding(spec: Holding['spec'], limits: SandboxLimits): Holding<never> {
  return {
    spec,
    limits,
    uid: null,
    sandbox: null,
    gone: newGone(),
    isStuck: false,
    isDoomed: false,
    isCreated: false,
    isTold: false,
  };
}

export function stopIfDoomed(holding: Holding): void {
  if (holding.isDoomed) throw new Error('destroyed while it was being made');
}

function newGone(): PromiseWithResolvers<void> {
  const gone = Promise.withResolvers<void>();
  gone.promise.catch(() => undefined);
  return gone;
}
