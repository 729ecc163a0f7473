/** Kinds of sandboxes that were asked for of late: blank ones of them are kept, too. At most as many as the driver offers. */
import type { Clock } from '../kernel/clock.ts';
import type { SandboxKind } from '../drivers/driver.ts';

/** A kind that nobody asked for in this time is not kept in the pool. */
const FORGET_MS = 600_000;

export class SideKinds {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #usedAt = new Map<string, { readonly kind: SandboxKind; readonly at: number }>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  used(kind: SandboxKind): void {
    this.#usedAt.set(`${kind.isolation}/${kind.nodeMajor}`, { kind, at: this.#clock.monotonic() });
  }

  kinds(): SandboxKind[] {
    const since = this.#clock.monotonic() - FORGET_MS;
    for (const [key, { at }] of this.#usedAt) if (at < since) this.#usedAt.delete(key);
    return [...this.#usedAt.values()].map(({ kind }) => kind);
  }
}
