/** Freezes and thaws one sandbox by its control group. */
import type { SandboxCgroup } from './cgroups/cgroup.ts';

/** Between two attempts to thaw what was killed: descriptors may be short. */
const AGAIN_MS = 1_000;

export class GroupFreezer {
  readonly #group: Pick<SandboxCgroup, 'setFrozen'>;
  /** It is frozen, or is about to be. */
  #isFrozen = false;
  #shallBeFrozen = false;
  #isKilled = false;
  #last: Promise<void> = Promise.resolve();
  #again: NodeJS.Timeout | null = null;

  constructor(group: Pick<SandboxCgroup, 'setFrozen'>) {
    this.#group = group;
  }

  /** Once it is killed nothing freezes it any more. */
  freeze(): Promise<void> {
    return this.#isKilled ? Promise.resolve() : this.#set(true);
  }

  thaw(): Promise<void> {
    return this.#set(false);
  }

  /** It is killed. In control groups version 1 the signal waits for the thaw, so that must succeed at last. Idempotent. */
  letDie(): void {
    this.#isKilled = true;
    if (!this.#isFrozen || this.#again !== null) return;
    this.thaw().catch(() => {
      this.#again = setTimeout(() => {
        this.#again = null;
        this.letDie();
      }, AGAIN_MS);
      this.#again.unref();
    });
  }

  /** It has ended. */
  close(): void {
    this.#isFrozen = false;
    if (this.#again !== null) clearTimeout(this.#again);
  }

  /** One after the other: the last one holds. */
  #set(isFrozen: boolean): Promise<void> {
    this.#shallBeFrozen = isFrozen;
    if (isFrozen) this.#isFrozen = true;
    const done = this.#last.then(async () => {
      await this.#group.setFrozen(isFrozen);
      if (!isFrozen && !this.#shallBeFrozen) this.#isFrozen = false;
    });
    this.#last = done.catch(() => undefined);
    return done;
  }
}
