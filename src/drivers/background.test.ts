import { beforeEach, describe, expect, it, vi } from 'vitest';
import { asSandboxId } from '../contracts/ids.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { Background } from './background.ts';

/** A sandbox of one thread, which does the same all the time until it is told otherwise. Shares are of one core. */
class Worker {
  readonly id;
  readonly thread: number;
  readonly #clock: FakeClock;
  #from: number;
  #past = { ranMs: 0, waitedMs: 0, rests: 0 };
  #does = { runs: 0, waits: 0, restsPerSecond: 0 };
  moves: boolean[] = [];
  refuses: Error | null = null;
  /** Its kernel has no such thing. */
  isUnmovable = false;
  isGone = false;

  constructor(clock: FakeClock, number: number) {
    this.#clock = clock;
    this.#from = clock.monotonic();
    this.thread = number;
    this.id = asSandboxId(`s${String(number).padStart(14, '0')}`);
  }

  does(runs: number, { waits = 0, restsPerSecond = 0 } = {}): void {
    this.#past = this.times();
    this.#from = this.#clock.monotonic();
    this.#does = { runs, waits, restsPerSecond };
  }

  times(): { ranMs: number; waitedMs: number; rests: number } {
    const ms = this.#clock.monotonic() - this.#from;
    const { runs, waits, restsPerSecond } = this.#does;
    return {
      ranMs: this.#past.ranMs + ms * runs,
      waitedMs: this.#past.waitedMs + ms * waits,
      rests: this.#past.rests + (ms / 1_000) * restsPerSecond,
    };
  }

  get isInBackground(): boolean {
    return this.moves.at(-1) ?? false;
  }

  // --- its control group

  cpuMicros(): number | null {
    return this.isGone ? null : this.times().ranMs * 1_000;
  }

  threads(): readonly number[] {
    return [this.thread];
  }

  setBackground(isInBackground: boolean): boolean {
    if (this.refuses !== null) throw this.refuses;
    if (this.isUnmovable) return false;
    this.moves.push(isInBackground);
    return true;
  }
}

describe('the background', () => {
  let clock: FakeClock;
  let background: Background;
  let workers: Worker[];
  let told: string[];
  beforeEach(() => {
    clock = new FakeClock();
    workers = [];
    told = [];
    background = new Background({
      clock,
      log: { info: (_, text) => void told.push(text) },
      cores: 2,
      reader: {
        timesOf: (thread) => workers[thread]!.times(),
        restsOf: (thread) => workers[thread]!.times().rests,
      },
    });
  });

  function worker(): Worker {
    const made = new Worker(clock, workers.length);
    workers.push(made);
    background.add(made.id, made);
    return made;
  }

  it('takes who burns CPU without a rest at the second look at the latest, and nobody else', async () => {
    const [burner, server, light, idle] = [worker(), worker(), worker(), worker()];
    burner.does(1);
    server.does(0.9, { restsPerSecond: 5_000 });
    light.does(0.1);
    await clock.advance(750);
    expect(burner.isInBackground).toBe(true);
    expect([server.moves, light.moves, idle.moves]).toEqual([[], [], []]);
  });

  it('finds one of four that share two cores, and one that its quota lets have a quarter', async () => {
    const [contending, throttled] = [worker(), worker()];
    contending.does(0.5, { waits: 0.5 });
    throttled.does(0.25, { waits: 0.75, restsPerSecond: 10 });
    await clock.advance(750);
    expect([contending.isInBackground, throttled.isInBackground]).toEqual([true, true]);
  });

  it('does not take a start, which burns for a moment', async () => {
    const starting = worker();
    starting.does(1);
    await clock.advance(80);
    starting.does(0);
    await clock.advance(5_000);
    expect(starting.moves).toEqual([]);
  });

  it('lets go the sooner the shorter it burned, after ten seconds at most', async () => {
    const [brief, long] = [worker(), worker()];
    for (const one of [brief, long]) one.does(1);
    await clock.advance(600);
    brief.does(0);
    await clock.advance(2_000);
    expect([brief.isInBackground, long.isInBackground]).toEqual([false, true]);
    await clock.advance(60_000);
    long.does(0);
    await clock.advance(9_000);
    expect(long.isInBackground).toBe(true);
    await clock.advance(2_000);
    expect(long.isInBackground).toBe(false);
  });

  it('lifts those that others starve there, all of them, again and again', async () => {
    const burners = Array.from({ length: 12 }, () => worker());
    for (const one of burners) one.does(1);
    await clock.advance(750);
    expect(burners.every((one) => one.isInBackground)).toBe(true);
    const lifts = new Map(burners.map((one) => [one, 0]));
    for (let look = 0; look < 40; look++) {
      for (const one of burners)
        if (one.isInBackground) one.does(0.01, { waits: 0.99 });
        else one.does(0.15, { waits: 0.85 });
      await clock.advance(250);
      for (const one of burners) if (!one.isInBackground) lifts.set(one, lifts.get(one)! + 1);
    }
    // A second of each two at least.
    for (const looks of lifts.values()) expect(looks).toBeGreaterThan(20);
  });

  it('does not lift those that starve each other there', async () => {
    const burners = Array.from({ length: 12 }, () => worker());
    for (const one of burners) one.does(0.3, { waits: 0.7 });
    await clock.advance(2_000);
    for (const one of burners) one.does(2 / 12, { waits: 10 / 12 });
    await clock.advance(2_000);
    expect(burners.every((one) => one.moves.length === 1)).toBe(true);
  });

  it('does not lift who rests there', async () => {
    const burner = worker();
    burner.does(1);
    await clock.advance(10_000);
    burner.does(0);
    await clock.advance(5_000);
    expect(burner.moves).toEqual([true]);
  });

  it('looks at a thousand in turns', async () => {
    const all = Array.from({ length: 1_000 }, () => worker());
    for (const one of all) one.does(1);
    await clock.advance(250 * 32);
    expect(all.filter((one) => one.isInBackground)).toHaveLength(1_000);
  });

  it('leaves alone whom the host does not let it move, and says so once', async () => {
    const [first, second, third] = [worker(), worker(), worker()];
    for (const one of [first, second]) one.refuses = new Error('EACCES');
    third.isUnmovable = true;
    for (const one of [first, second, third]) one.does(1);
    await clock.advance(2_000);
    expect(told).toHaveLength(1);
    expect(clock.waiting).toBe(0);
  });

  it('brings back whom it could not, and looks again where it could not', async () => {
    const burner = worker();
    burner.does(1);
    await clock.advance(750);
    burner.does(0);
    burner.refuses = new Error('EMFILE');
    await clock.advance(3_000);
    expect(burner.isInBackground).toBe(true);
    burner.refuses = null;
    vi.spyOn(burner, 'cpuMicros').mockImplementationOnce(() => {
      throw new Error('EMFILE');
    });
    await clock.advance(1_000);
    expect([burner.isInBackground, told.length]).toEqual([false, 1]);
  });

  it('brings back who ends', async () => {
    const burner = worker();
    burner.does(1);
    await clock.advance(750);
    background.leave(burner.id);
    expect(burner.moves).toEqual([true, false]);
    expect(clock.waiting).toBe(0);
  });

  it('asks no more threads than it has time for', async () => {
    const [hiding, honest] = [worker(), worker()];
    for (const one of [hiding, honest]) one.does(1);
    vi.spyOn(hiding, 'threads').mockReturnValue(Array.from({ length: 4_000 }, () => hiding.thread));
    await clock.advance(750);
    expect([hiding.isInBackground, honest.isInBackground]).toEqual([true, true]);
  });

  it('does nothing when there are none', async () => {
    const only = worker();
    only.does(1);
    await clock.advance(1_000);
    only.isGone = true;
    await clock.advance(1_000);
    background.leave(only.id);
    background.leave(only.id);
    expect(clock.waiting).toBe(0);
  });
});
