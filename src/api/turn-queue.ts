/** Lets so many of one owner go on at the same time, the rest in order, bounded in number and time. */
import { BerthError } from '../contracts/errors.ts';

export interface TurnLimits {
  readonly atOnce: number;
  readonly waiting: number;
  readonly waitMs: number;
  /** The names of the limits in errors. */
  readonly names: { readonly waiting: string; readonly waitMs: string };
}

interface Owner {
  running: number;
  readonly waiting: Set<() => void>;
}

export class TurnQueue {
  readonly #owners = new Map<string, Owner>();
  readonly #limits: TurnLimits;

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** @returns what ends the turn; call it once. @throws BerthError QUEUE_FULL, CONCURRENCY_LIMIT when it took too long */
  async wait(name: string, signal: AbortSignal): Promise<() => void> {
    const { atOnce, waiting, names } = this.#limits;
    const owner = this.#owners.get(name) ?? { running: 0, waiting: new Set() };
    this.#owners.set(name, owner);
    if (owner.running < atOnce) owner.running += 1;
    else if (owner.waiting.size >= waiting) {
      throw new BerthError('QUEUE_FULL', { name: names.waiting, limit: waiting });
    } else await this.#enqueue(owner, signal);
    return () => this.#end(name, owner);
  }

  async #enqueue(owner: Owner, signal: AbortSignal): Promise<void> {
    const { waitMs, names } = this.#limits;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    owner.waiting.add(resolve);
    const leave = () => {
      if (!owner.waiting.delete(resolve)) return;
      reject(new BerthError('CONCURRENCY_LIMIT', { name: names.waitMs, limit: waitMs }));
    };
    const late = setTimeout(leave, waitMs);
    signal.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', leave);
    }
  }

  /** The place passes on to the one that waits longest. */
  #end(name: string, owner: Owner): void {
    const [next] = owner.waiting;
    if (next !== undefined) {
      owner.waiting.delete(next);
      next();
      return;
    }
    owner.running -= 1;
    if (owner.running === 0) this.#owners.delete(name);
  }
}
