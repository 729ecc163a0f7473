/** A clock that stands still until a test moves it. */
import type { Clock } from '../clock.ts';

interface Alarm {
  readonly at: number;
  readonly call: () => void;
}

const START = 1_000_000;

export class FakeClock implements Clock {
  #now = START;
  readonly #alarms = new Set<Alarm>();

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, call: () => void): () => void {
    const alarm = { at: this.#now + ms, call };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }

  afterInput(call: () => void): void {
    setImmediate(call);
  }

  /** Timers that wait: a test can show that nothing is left running. */
  get waiting(): number {
    return this.#alarms.size;
  }

  /** Moves time on, alarm by alarm, and lets promises settle after each. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#alarms.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.call();
      await settled();
    }
    this.#now = end;
    await settled();
  }

  /** Moves time on at once, as when the host itself was stuck: alarms come late. */
  async jump(ms: number): Promise<void> {
    this.#now += ms;
    await this.advance(0);
  }

  #next(end: number): Alarm | null {
    let next: Alarm | null = null;
    for (const alarm of this.#alarms)
      if (alarm.at <= end && (next === null || alarm.at < next.at)) next = alarm;
    return next;
  }
}

/** Lets everything run that needs no time. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++)
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
}
