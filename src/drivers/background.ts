/**
 * Sandboxes that burn CPU without a pause run in the background: with what CPU all others leave. A request that comes in between
 * then takes the core at once, and does not wait for the rest of somebody's slice (ADR 10). Asked of the kernel from outside.
 */
import { availableParallelism } from 'node:os';
import type { SandboxId } from '../contracts/ids.ts';
import { type Clock, systemClock } from '../kernel/clock.ts';
import type { SandboxCgroup } from './cgroups/cgroup.ts';
import type { DriverLog } from './driver-log.ts';
import { procThreads, type ThreadReader } from './thread-times.ts';
import { ThreadWatch } from './thread-watch.ts';

const LOOK_MS = 250;
/** Files that are read in one look, 20 us each; the sandboxes that are left over have their turn in the next one. */
const READS_AT_ONCE = 400;
/** Of one core. Who uses less holds up nobody for long, and its threads are not asked. */
const BUSY_SHARE = 0.2;
/** It stays in the background until it has not burned for so long: the longer it did, up to a bound. */
const CALM_MS_PER_LOOK = 1_000;
const MAX_CALM_MS = 10_000;
/** Less than this share of a core, while its threads wait for one for more than that share of the time: it starves. */
const STARVING = { share: 0.2, waiting: 0.5 } as const;
/** Of all cores. Where the background as a whole gets more, who starves in it does so for its own like. */
const ENOUGH_SHARE = 0.25;
/** After two looks at which it starved it runs as all others for so long. */
const STARVED_MS = 2 * LOOK_MS;
const LIFT_MS = 1_000;

type Group = Pick<SandboxCgroup, 'cpuMicros' | 'threads' | 'setBackground'>;

export interface BackgroundOptions {
  readonly clock: Clock;
  readonly log: Pick<DriverLog, 'info'>;
  /** Of this host. */
  readonly cores: number;
  readonly reader?: ThreadReader;
}

/** What is known of one sandbox; times are monotonic milliseconds. */
interface Place {
  readonly id: SandboxId;
  readonly group: Group;
  at: number;
  cpuMicros: number;
  /** Of one core, between the last two looks. */
  share: number;
  /** null: its threads were not asked at the last look */
  threads: ThreadWatch | null;
  isInBackground: boolean;
  /** Looks at which it burned, since it came into the background. */
  burns: number;
  calmAt: number;
  starvesSince: number | null;
  liftedUntil: number;
}

/** Of this host, as drivers have it. */
export function hostBackground(log: DriverLog): Background {
  return new Background({ clock: systemClock, log, cores: availableParallelism() });
}

export class Background {
  readonly #options: BackgroundOptions;
  readonly #reader: ThreadReader;
  readonly #places = new Map<SandboxId, Place>();
  /** Where the next look goes on. */
  #turn: Iterator<Place> = [][Symbol.iterator]();
  #cancelLook: (() => void) | null = null;
  #isTold = false;

  constructor(options: BackgroundOptions) {
    this.#options = options;
    this.#reader = options.reader ?? procThreads;
  }

  add(id: SandboxId, group: Group): void {
    const now = this.#now();
    this.#places.set(id, {
      id,
      group,
      at: now,
      cpuMicros: 0,
      share: 0,
      threads: null,
      isInBackground: false,
      burns: 0,
      calmAt: now,
      starvesSince: null,
      liftedUntil: now,
    });
    this.#lookLater();
  }

  /** It ends, and shall do so without delay. Idempotent. */
  leave(id: SandboxId): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#move(place, false);
    this.#forget(place);
  }

  #forget({ id }: Place): void {
    this.#places.delete(id);
    if (this.#places.size > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = null;
  }

  #lookLater(): void {
    this.#cancelLook ??= this.#options.clock.after(LOOK_MS, () => {
      this.#cancelLook = null;
      this.#lookAtSome();
      if (this.#places.size > 0) this.#lookLater();
    });
  }

  #lookAtSome(): void {
    for (let reads = 0; reads < READS_AT_ONCE;) {
      const { value: place, done } = this.#turn.next();
      if (done === true) {
        this.#turn = this.#places.values();
        break;
      }
      try {
        reads += this.#look(place);
      } catch (error) {
        // Descriptors may be short. The next look may succeed.
        reads += 1;
        this.#tell(error);
      }
    }
    this.#lift();
  }

  /** @returns how many files were read */
  #look(place: Place): number {
    const now = this.#now();
    const cpuMicros = place.group.cpuMicros();
    if (cpuMicros === null || now <= place.at) return 1;
    place.share = (cpuMicros - place.cpuMicros) / 1_000 / (now - place.at);
    place.at = now;
    place.cpuMicros = cpuMicros;
    const isBusy = place.share >= BUSY_SHARE;
    if (!isBusy && !place.isInBackground) {
      place.threads = null;
      return 1;
    }
    place.threads ??= new ThreadWatch();
    const { burns, waitingShare, reads } = place.threads.look(place.group.threads(), now, this.#reader);
    if (isBusy && burns) this.#burned(place, now);
    else if (place.share < STARVING.share && waitingShare > STARVING.waiting) place.starvesSince ??= now;
    else {
      place.starvesSince = null;
      if (now >= place.calmAt) this.#calm(place);
    }
    return 2 + reads;
  }

  #burned(place: Place, now: number): void {
    place.burns += 1;
    place.calmAt = now + Math.min(MAX_CALM_MS, place.burns * CALM_MS_PER_LOOK);
    place.starvesSince = null;
    if (now >= place.liftedUntil) this.#move(place, true);
  }

  #calm(place: Place): void {
    place.burns = 0;
    this.#move(place, false);
  }

  /** Others take all that there is: who starves for that gets its equal share for a moment. */
  #lift(): void {
    const now = this.#now();
    const places = [...this.#places.values()];
    const share = places.reduce((sum, one) => sum + (one.isInBackground ? one.share : 0), 0);
    if (share >= ENOUGH_SHARE * this.#options.cores) return;
    for (const place of places) {
      if (place.starvesSince === null || now - place.starvesSince < STARVED_MS) continue;
      place.starvesSince = null;
      place.liftedUntil = now + LIFT_MS;
      this.#move(place, false);
    }
  }

  /** Out of the background it is tried again at the next look, if it fails. */
  #move(place: Place, isInBackground: boolean): void {
    if (place.isInBackground === isInBackground) return;
    try {
      const isMoved = place.group.setBackground(isInBackground);
      if (isMoved) return void (place.isInBackground = isInBackground);
    } catch (error) {
      this.#tell(error);
      if (!isInBackground) return;
    }
    // The kernel has no such thing, or does not let us, or it is gone.
    this.#forget(place);
  }

  #tell(error: unknown): void {
    if (!this.#isTold)
      this.#options.log.info({ err: error }, 'sandboxes that burn CPU may run as all others do');
    this.#isTold = true;
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}
