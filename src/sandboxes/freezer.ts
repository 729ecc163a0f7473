/**
 * Idle sandboxes are frozen, so that what they left running (timers, threads, children) gets no CPU, and thawed when a place in
 * them is taken. Nobody waits for the thaw: frames lie in the socket until the sandbox goes on.
 */
import { BerthError } from '../contracts/errors.ts';
import type { SandboxId } from '../contracts/ids.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import type { PlatformLog } from './services.ts';
import { endingOf, type Ending } from './verdict.ts';

/** A sandbox as the freezer sees it. */
export interface Freezable {
  readonly id: SandboxId;
  end(ending: Ending): void;
}

export interface FreezerOptions {
  readonly driver: Pick<Driver, 'freeze' | 'thaw'>;
  readonly clock: Clock;
  readonly log: PlatformLog;
}

/** Takes well below a millisecond. One that stays frozen must not keep requests until their own limits. */
const THAW_MS = 2_000;
/** Of a thousand that become idle together: no thaw stands behind more than these, the others follow with the next sweep. */
const FREEZES_AT_ONCE = 64;

export class Freezer {
  readonly #options: FreezerOptions;
  readonly #frozen = new Set<Freezable>();
  #freezing = 0;

  constructor(options: FreezerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#frozen.size;
  }

  /** The caller has seen that it has nothing to do, and asks again as long as that is so. */
  freeze(sandbox: Freezable): void {
    if (this.#frozen.has(sandbox) || this.#freezing >= FREEZES_AT_ONCE) return;
    this.#frozen.add(sandbox);
    void this.#freeze(sandbox.id);
  }

  /** There is work for it. The warm path: where nothing is frozen, nothing happens. */
  thaw(sandbox: Freezable): void {
    if (this.#frozen.size > 0 && this.#frozen.delete(sandbox)) void this.#thaw(sandbox);
  }

  /** It is gone; the driver can destroy it as it is. */
  forget(sandbox: Freezable): void {
    this.#frozen.delete(sandbox);
  }

  /** Never rejects. Whether it worked or not, the next one who comes thaws it. */
  async #freeze(id: SandboxId): Promise<void> {
    const { driver, log } = this.#options;
    this.#freezing += 1;
    try {
      await driver.freeze(id);
    } catch (error) {
      log.warn({ err: error, sandbox: id }, 'a sandbox was not frozen');
    } finally {
      this.#freezing -= 1;
    }
  }

  /** Never rejects. */
  async #thaw(sandbox: Freezable): Promise<void> {
    const { driver, clock, log } = this.#options;
    try {
      await withDeadline(clock, THAW_MS, driver.thaw(sandbox.id));
    } catch (error) {
      log.error({ err: error, sandbox: sandbox.id }, 'a sandbox was not thawed; it is ended');
      sandbox.end(endingOf(new BerthError('INTERNAL', {}, { cause: error })));
    }
  }
}
