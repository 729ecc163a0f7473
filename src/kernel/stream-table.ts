/**
 * Streams that are open, by their number. Not a Map: that one makes a new table whenever the number of its entries swings,
 * and each outgrown table points to the next; once one of them has got old, everything that passes through later ones
 * lives until the next full collection. Under load that was 12 MB to copy in each small collection, a pause of 15 ms.
 */
const SLOTS = 128;
const MASK = SLOTS - 1;
const NO_STREAM = 0;

/** Numbers are 1 or more and ascend, so that those open at the same time seldom want one slot; who finds it taken goes to a Map. */
export class StreamTable<T extends object> {
  readonly #streams = new Uint32Array(SLOTS);
  readonly #slots: (T | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  readonly #overflow = new Map<number, T>();
  #slotsTaken = 0;

  get size(): number {
    return this.#slotsTaken + this.#overflow.size;
  }

  get(stream: number): T | undefined {
    const slot = stream & MASK;
    if (this.#streams[slot] === stream && stream !== NO_STREAM) return this.#slots[slot];
    return this.#overflow.size === 0 ? undefined : this.#overflow.get(stream);
  }

  /** Once for each number. */
  add(stream: number, value: T): void {
    const slot = stream & MASK;
    if (this.#streams[slot] !== NO_STREAM) return void this.#overflow.set(stream, value);
    this.#streams[slot] = stream;
    this.#slots[slot] = value;
    this.#slotsTaken += 1;
  }

  delete(stream: number): void {
    const slot = stream & MASK;
    if (this.#streams[slot] !== stream || stream === NO_STREAM) return void this.#overflow.delete(stream);
    this.#streams[slot] = NO_STREAM;
    this.#slots[slot] = undefined;
    this.#slotsTaken -= 1;
  }

  /** Takes all out. */
  drain(): T[] {
    const all = [...this.#slots.filter((value) => value !== undefined), ...this.#overflow.values()];
    this.#streams.fill(NO_STREAM);
    this.#slots.fill(undefined);
    this.#overflow.clear();
    this.#slotsTaken = 0;
    return all;
  }
}
