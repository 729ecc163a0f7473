/** First in, first out, with a limit: a ring that grows up to it. */

const FIRST_CAPACITY = 16;

export class BoundedQueue<Item> {
  readonly #limit: number;
  #ring: (Item | undefined)[] = Array.from({ length: FIRST_CAPACITY });
  #head = 0;
  #length = 0;

  /** @param limit most items that wait at the same time */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  /** @returns false when the queue is full; the item was not taken */
  push(item: Item): boolean {
    if (this.#length >= this.#limit) return false;
    if (this.#length === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.#length) % this.#ring.length] = item;
    this.#length += 1;
    return true;
  }

  shift(): Item | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.#ring.length;
    this.#length -= 1;
    return item;
  }

  /** Takes up to `count` items out. */
  take(count: number): Item[] {
    const items: Item[] = [];
    while (items.length < count && this.#length > 0) items.push(this.shift() as Item);
    return items;
  }

  #grow(): void {
    const items = Array.from(
      { length: this.#length },
      (_, index) => this.#ring[(this.#head + index) % this.#ring.length],
    );
    this.#ring = [...items, ...Array.from<undefined>({ length: items.length })];
    this.#head = 0;
  }
}
