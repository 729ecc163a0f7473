/** One timer for many things that must be looked at now and then. Scheduling costs an array push; nothing scheduled costs nothing. */
import type { Clock } from './clock.ts';

const SLOTS = 256;
const NEVER = -1;

/** Something that a wheel can call. It carries its own place: a Map would keep entries alive long after they have left (see `stream-table.ts`). */
export abstract class WheelEntry {
  /** The wheel's own, as `slotIndex`; an entry is in one wheel at most. */
  dueTick = NEVER;
  slotIndex = 0;
  /** @param lateMs how much later than due this call comes: the host itself was busy */
  abstract onDue(lateMs: number): void;
}

export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: WheelEntry[][] = Array.from({ length: SLOTS }, () => []);
  #size = 0;
  #tick: number;
  #cancel: (() => void) | null = null;

  /** @param tickMs precision: an entry is called up to this much after it is due */
  constructor(clock: Clock, tickMs: number) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#tick = this.#present();
  }

  get size(): number {
    return this.#size;
  }

  has(entry: WheelEntry): boolean {
    return entry.dueTick !== NEVER;
  }

  /** Calls the entry once after `delayMs`; an entry that is scheduled already moves. */
  schedule(entry: WheelEntry, delayMs: number): void {
    this.remove(entry);
    if (this.#cancel === null) this.#tick = this.#present();
    const due = Math.max(this.#tick + 1, Math.ceil((this.#clock.monotonic() + delayMs) / this.#tickMs));
    entry.dueTick = due;
    entry.slotIndex = this.#slots[due % SLOTS]!.push(entry) - 1;
    this.#size += 1;
    this.#arm();
  }

  remove(entry: WheelEntry): void {
    if (entry.dueTick === NEVER) return;
    const slot = this.#slots[entry.dueTick % SLOTS]!;
    const last = slot.pop()!;
    if (last !== entry) {
      slot[entry.slotIndex] = last;
      last.slotIndex = entry.slotIndex;
    }
    entry.dueTick = NEVER;
    this.#size -= 1;
  }

  /** Forgets all entries. */
  close(): void {
    for (const slot of this.#slots) while (slot.length > 0) this.remove(slot[0]!);
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
    if (this.#size > 0) this.#arm();
  }

  /** Entries may schedule and remove themselves and each other meanwhile. */
  #callSlot(slot: readonly WheelEntry[], present: number): void {
    if (slot.length === 0) return;
    for (const entry of slot.slice()) {
      const due = entry.dueTick;
      if (due === NEVER || due > present) continue;
      this.remove(entry);
      entry.onDue(Math.max(0, this.#clock.monotonic() - due * this.#tickMs));
    }
  }
}
