import { describe, expect, it } from 'vitest';
import { FakeClock } from './testing/fake-clock.ts';
import { TimerWheel, WheelEntry } from './timer-wheel.ts';

class Entry extends WheelEntry {
  readonly #call: (lateMs: number) => void;

  constructor(call: (lateMs: number) => void) {
    super();
    this.#call = call;
  }

  override onDue(lateMs: number): void {
    this.#call(lateMs);
  }
}

function entry(log: string[], name: string): WheelEntry {
  return new Entry((lateMs) => void log.push(`${name} ${lateMs}`));
}

describe('the timer wheel', () => {
  it('calls each entry once, when it is due', async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, 25);
    const log: string[] = [];
    wheel.schedule(entry(log, 'b'), 500);
    wheel.schedule(entry(log, 'a'), 100);
    await clock.advance(99);
    expect(log).toEqual([]);
    await clock.advance(1);
    expect(log).toEqual(['a 0']);
    await clock.advance(399);
    expect(log).toEqual(['a 0']);
    await clock.advance(1);
    expect(log).toEqual(['a 0', 'b 0']);
  });

  it('calls what lies further than one round at its time', async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, 25);
    const log: string[] = [];
    wheel.schedule(entry(log, 'far'), 25 * 256 * 3 + 50);
    await clock.advance(25 * 256 * 3);
    expect(log).toEqual([]);
    await clock.advance(50);
    expect(log).toEqual(['far 0']);
  });

  it('moves what is scheduled again, and forgets what is removed', async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, 25);
    const log: string[] = [];
    const [moved, removed] = [entry(log, 'moved'), entry(log, 'removed')];
    wheel.schedule(moved, 100);
    wheel.schedule(removed, 100);
    wheel.schedule(moved, 300);
    wheel.remove(removed);
    expect(wheel.has(removed)).toBe(false);
    await clock.advance(200);
    expect(log).toEqual([]);
    await clock.advance(100);
    expect(log).toEqual(['moved 0']);
  });

  it('has one timer for all, and none when nothing is scheduled', async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, 25);
    expect(clock.waiting).toBe(0);
    for (let count = 0; count < 100; count++) wheel.schedule(entry([], 'x'), 50);
    expect(clock.waiting).toBe(1);
    await clock.advance(100);
    expect(clock.waiting).toBe(0);
    await clock.advance(100_000);
    const log: string[] = [];
    wheel.schedule(entry(log, 'later'), 50);
    await clock.advance(50);
    expect(log).toEqual(['later 0']);
    wheel.schedule(entry(log, 'never'), 50);
    wheel.close();
    expect(clock.waiting).toBe(0);
  });

  it('says how late it is after the host was stuck, and calls nobody twice', async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, 25);
    const log: string[] = [];
    wheel.schedule(entry(log, 'a'), 100);
    await clock.jump(60_000);
    expect(log).toEqual(['a 59900']);
    await clock.advance(60_000);
    expect(log.length).toBe(1);
  });

  it('an entry may schedule itself again', async () => {
    const clock = new FakeClock();
    const wheel = new TimerWheel(clock, 25);
    let calls = 0;
    const again = new Entry(() => {
      calls += 1;
      wheel.schedule(again, 100);
    });
    wheel.schedule(again, 100);
    await clock.advance(1_000);
    expect(calls).toBe(10);
  });
});
