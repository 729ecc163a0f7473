/**
 * Sandboxes that burn CPU without a pause run in the background: with what CPU all others leave. A request that comes in between
 * then takes the core at once, and does not wait for the rest of somebody's slice (ADR 10). Asked of the kernel from outside.
 */
import type { SandboxId } from '../contracts/ids.ts';
import type { Clock } from '../kernel/clock.ts';
import type { SandboxCgroup } from './cgroups/cgroup.ts';
import type { DriverLog } from './driver-log.ts';
import { type ThreadTimes, threadTimes } from './thread-times.ts';

const LOOK_MS = 250;
/** A look takes some 15 us each; more sandboxes than these are looked at in turn. */
const LOOKS_AT_ONCE = 64;
/** Of one core. Who uses less holds up nobody for long, and its threads are not asked. */
const BUSY_SHARE = 0.2;
/** Of the time between two looks that a thread runs. */
const BURNING_SHARE = 0.1;
/** A thread that runs for so long between two rests does not wait for requests. A request served takes well below one. */
const LONG_RUN_MS = 2;
/** It stays in the background until it has not burned for so long: the longer it did, up to a bound. */
const CALM_MS_PER_LOOK = 1_000;
const MAX_CALM_MS = 10_000;
/** Less than this share of a core, while its threads wait for one for more than that share of the time: it starves. */
const STARVING = { share: 0.05, waiting: 0.5 } as const;
/** After two looks at which it starved it runs as all others for so long; of those that starve one at a time. */
const STARVED_MS = 2 * LOOK_MS;
const LIFT_MS = 1_000;

type Group = Pick<SandboxCgroup, 'cpuMicros' | 'threads' | 'setBackground'>;

export interface BackgroundOptions {
  readonly clock: Clock;
  readonly log: Pick<DriverLog, 'info'>;
  readonly timesOf?: (threads: readonly number[]) => ReadonlyMap<number, ThreadTimes>;
}

/** What is known of one sandbox; times are monotonic milliseconds. */
interface Place {
  readonly id: SandboxId;
  readonly group: Group;
  at: number;
  cpuMicros: number;
  /** null: they were not asked at the last look */
  threads: ReadonlyMap<number, ThreadTimes> | null;
  threadsAt: number;
  isInBackground: boolean;
  /** Looks at which it burned, since it came into the background. */
  burns: number;
  calmAt: number;
  starvesSince: number | null;
}

export class Background {
  readonly #options: BackgroundOptions;
  readonly #timesOf: (threads: readonly number[]) => ReadonlyMap<number, ThreadTimes>;
  readonly #places = new Map<SandboxId, Place>();
  /** Where the next look goes on. */
  #turn: Iterator<Place> = [][Symbol.iterator]();
  #lifted: { readonly place: Place; readonly until: number } | null = null;
  #cancelLook: (() => void) | null = null;
  #isTold = false;

  constructor(options: BackgroundOptions) {
    this.#options = options;
    this.#timesOf = options.timesOf ?? threadTimes;
  }

  add(id: SandboxId, group: Group): void {
    const now = this.#now();
    this.#places.set(id, {
      id,
      group,
      at: now,
      cpuMicros: group.cpuMicros() ?? 0,
      threads: null,
      threadsAt: now,
      isInBackground: false,
      burns: 0,
      calmAt: now,
      starvesSince: null,
    });
    this.#lookLater();
  }

  remove(id: SandboxId): void {
    this.#places.delete(id);
    if (this.#lifted?.place.id === id) this.#lifted = null;
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
    for (let looks = 0; looks < LOOKS_AT_ONCE; looks++) {
      const { value: place, done } = this.#turn.next();
      if (done === true) {
        this.#turn = this.#places.values();
        break;
      }
      this.#look(place);
    }
    this.#lift();
  }

  #look(place: Place): void {
    const now = this.#now();
    const cpuMicros = place.group.cpuMicros();
    if (cpuMicros === null || now <= place.at) return;
    const share = (cpuMicros - place.cpuMicros) / 1_000 / (now - place.at);
    place.at = now;
    place.cpuMicros = cpuMicros;
    const isBusy = share >= BUSY_SHARE;
    if (!isBusy && !place.isInBackground) {
      place.threads = null;
      return;
    }
    const before = place.threads;
    const elapsedMs = now - place.threadsAt;
    place.threads = this.#timesOf(place.group.threads());
    place.threadsAt = now;
    if (before === null) return;
    if (isBusy && burns(before, place.threads, elapsedMs)) {
      place.burns += 1;
      place.calmAt = now + Math.min(MAX_CALM_MS, place.burns * CALM_MS_PER_LOOK);
      place.starvesSince = null;
      if (this.#lifted?.place !== place) this.#move(place, true);
    } else if (share < STARVING.share && waitingShare(before, place.threads, elapsedMs) > STARVING.waiting) {
      place.starvesSince ??= now;
    } else {
      place.starvesSince = null;
      if (now < place.calmAt) return;
      place.burns = 0;
      this.#move(place, false);
    }
  }

  /** Nobody starves for ever: who has for longest gets its equal share for a moment. */
  #lift(): void {
    const now = this.#now();
    if (this.#lifted !== null) {
      if (now < this.#lifted.until) return;
      const { place } = this.#lifted;
      this.#lifted = null;
      place.starvesSince = null;
      if (now < place.calmAt) this.#move(place, true);
    }
    let starved: Place | null = null;
    for (const place of this.#places.values()) {
      if (place.starvesSince === null || now - place.starvesSince < STARVED_MS) continue;
      if (starved === null || place.starvesSince < starved.starvesSince!) starved = place;
    }
    if (starved === null) return;
    this.#lifted = { place: starved, until: now + LIFT_MS };
    this.#move(starved, false);
  }

  #move(place: Place, isInBackground: boolean): void {
    if (place.isInBackground === isInBackground) return;
    place.isInBackground = isInBackground;
    try {
      if (place.group.setBackground(isInBackground)) return;
    } catch (error) {
      if (!this.#isTold)
        this.#options.log.info({ err: error }, 'sandboxes that burn CPU run as all others do');
      this.#isTold = true;
    }
    // The kernel has no such thing, or does not let us, or it is gone.
    this.remove(place.id);
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}

type Times = ReadonlyMap<number, ThreadTimes>;

/** One of its threads runs and hardly ever rests. */
function burns(before: Times, after: Times, elapsedMs: number): boolean {
  for (const [thread, { ranMs, rests }] of after) {
    const earlier = before.get(thread);
    if (earlier === undefined) continue;
    const ran = ranMs - earlier.ranMs;
    if (ran >= elapsedMs * BURNING_SHARE && ran >= (rests - earlier.rests + 1) * LONG_RUN_MS) return true;
  }
  return false;
}

/** Of the time between two looks, in which a thread wanted to run and did not: the sum of all. */
function waitingShare(before: Times, after: Times, elapsedMs: number): number {
  let waited = 0;
  for (const [thread, { waitedMs }] of after) waited += waitedMs - (before.get(thread)?.waitedMs ?? waitedMs);
  return waited / elapsedMs;
}
