/** When the pool may try a kind of sandbox again that did not start: each kind on its own, so that a runtime that fails holds up no other. */
import type { Clock } from '../kernel/clock.ts';
import type { SandboxKind } from '../drivers/driver.ts';

const BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;
/** 2 ** 20 times the first pause is above the greatest. */
const MAX_DOUBLINGS = 20;

interface Failing {
  count: number;
  cancel: (() => void) | null;
}

/** Holds at most an entry for each kind that the driver offers. */
export class StartBackoff {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #failing = new Map<string, Failing>();

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  failed(kind: SandboxKind): void {
    const key = keyOf(kind);
    const known = this.#failing.get(key) ?? { count: 0, cancel: null };
    known.count += 1;
    this.#failing.set(key, known);
  }

  started(kind: SandboxKind): void {
    this.#failing.get(keyOf(kind))?.cancel?.();
    this.#failing.delete(keyOf(kind));
  }

  isFailing(kind: SandboxKind): boolean {
    return this.#failing.has(keyOf(kind));
  }

  /** Calls `attempt` once, after a time that doubles with each failure. Nothing when that is under way already. */
  retryLater(kind: SandboxKind, attempt: () => void): void {
    const failing = this.#failing.get(keyOf(kind));
    if (failing === undefined || failing.cancel !== null) return;
    const ms = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(failing.count - 1, MAX_DOUBLINGS));
    failing.cancel = this.#clock.after(ms, () => {
      failing.cancel = null;
      attempt();
    });
  }

  /** Everything may be tried at once. */
  clear(): void {
    for (const { cancel } of this.#failing.values()) cancel?.();
    this.#failing.clear();
  }
}

function keyOf({ isolation, nodeMajor }: SandboxKind): string {
  return `${isolation}/${nodeMajor}`;
}
