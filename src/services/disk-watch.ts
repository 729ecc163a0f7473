/** Looks from time to time what services keep on the disk: nothing limits it, so it has to be seen. */
import type { VolumeId } from '../contracts/ids.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import type { ServiceLog } from './service-run.ts';

/** Between two looks, at least. */
const PAUSE_MS = 60_000;
/** The engine looks through all files, of which tenants can have very many: so many times as long it has rest from it. */
const REST = 20;

export interface DiskWatchOptions {
  readonly driver: Pick<Driver, 'volumeSizes'>;
  readonly clock: Clock;
  readonly log: ServiceLog;
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #isNeeded: () => boolean;
  #sizes: ReadonlyMap<VolumeId, number> = new Map();
  #cancel: () => void = () => undefined;
  #isClosed = false;

  /** @param isNeeded there is a service at all */
  constructor(options: DiskWatchOptions, isNeeded: () => boolean) {
    this.#options = options;
    this.#isNeeded = isNeeded;
  }

  get total(): { readonly all: number; readonly largest: number } {
    let [all, largest] = [0, 0];
    for (const bytes of this.#sizes.values()) [all, largest] = [all + bytes, Math.max(largest, bytes)];
    return { all, largest };
  }

  of(volume: VolumeId): number | null {
    return this.#sizes.get(volume) ?? null;
  }

  /** Looks at once, and then for as long as it is not closed. */
  open(): void {
    void this.#look();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { driver, clock, log } = this.#options;
    const startedAt = clock.monotonic();
    try {
      const sizes = this.#isNeeded() ? await driver.volumeSizes() : [];
      this.#sizes = new Map(sizes.map(({ volume, bytes }) => [volume, bytes]));
    } catch (error) {
      // What was seen last is told on.
      if (!this.#isClosed) log.warn({ err: error }, 'what services keep on the disk could not be seen');
    }
    if (this.#isClosed) return;
    const tookMs = clock.monotonic() - startedAt;
    this.#cancel = clock.after(Math.max(PAUSE_MS, tookMs * REST), () => void this.#look());
  }
}
