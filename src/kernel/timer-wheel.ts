/** One timer for many things that must be looked at now and then. Scheduling costs a set insertion; nothing scheduled costs nothing. */
import type { Clock } from './clock.ts';

export interface WheelEntry {
  /** @param lateMs how much later than due this call comes: the host itself was busy */
  onDue(lateMs: number): void;
}

const SLOTS = 256;

export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: Set<WheelEntry>[] = Array.from({ length: SLOTS }, () => new Set());
  readonly #dueTicks = new Map<WheelEntry, number>();
  #tick: number;
  #cancel: (() => void) | null = null;

  /** @param tickMs precision: an entry is called up to this much after it is due */
  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#tick = this.#present();
  }

  get size(): number {
    return this.#dueTicks.size;
  }

  has(entry: WheelEntry): boolean {
    return this.#dueTicks.has(entry);
  }

  /** Calls the entry once after `delayMs`; an entry that is scheduled already moves. */
  schedule(entry: WheelEntry, delayMs: number): void {
    this.remove(entry);
    if (this.#cancel === null) this.#tick = this.#present();
    const due = Math.max(this.#tick + 1, Math.ceil((this.#clock.monotonic() + delayMs) / this.#tickMs));
    this.#dueTicks.set(entry, due);
    this.#slots[due % SLOTS]!.add(entry);
    this.#arm();
  }

  remove(entry: WheelEntry): void {
    const due = this.#dueTicks.get(entry);
    if (due === undefined) return;
    this.#dueTicks.delete(entry);
    this.#slots[due % SLOTS]!.delete(entry);
  }

  /** Forgets all entries. */
  close(): void {
    for (const entry of this.#dueTicks.keys()) this.remove(entry);
    this.#cancel?.();
    this.#cancel = null;
  }

  #present(): number {
    return Math.floor(this.#clock.monotonic() / this.#tickMs);
  }

  #arm(): void {
    if (this.#cancel !== null) return;
    const nextAt = (this.#tick + 1) * this.#tickMs;
    this.#cancel = this.#clock.after(Math.max(0, nextAt - this.#clock.monotonic()), () => this.#turn());
  }

  #turn(): void {
    this.#cancel = null;
    const present = this.#present();
    // A whole round passes every slot once: after a long stop there is no need to walk more.
    const last = Math.min(present, this.#tick + SLOTS);
    for (let tick = this.#tick + 1; tick <= last; tick++) this.#callSlot(this.#slots[tick % SLOTS]!, present);
    this.#tick = Math.max(this.#tick, present);
    if (this.#dueTicks.size > 0) this.#arm();
  }

  #callSlot(slot: Set<WheelEntry>, present: number): void {
    if (slot.size === 0) return;
    for (const entry of slot) {
      const due = this.#dueTicks.get(entry);
      if (due === undefined || due > present) continue;
      this.remove(entry);
      entry.onDue(Math.max(0, this.#clock.monotonic() - due * this.#tickMs));
    }
  }
}
