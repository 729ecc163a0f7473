/** A value loaded once, by the first who asks, until it is dropped. */
export class Loaded<T> {
  readonly #load: () => Promise<T>;
  #value: T | null = null;
  #loading: Promise<T> | null = null;

  constructor(load: () => Promise<T>) {
    this.#load = load;
  }

  current(): T | null {
    return this.#value;
  }

  /** @throws what loading throws; the next who asks tries again */
  async get(): Promise<T> {
    if (this.#value !== null) return this.#value;
    if (this.#loading !== null) return this.#loading;
    const loading: Promise<T> = this.#load().then(
      (value) => {
        // Dropped meanwhile: what was read may be older than the drop.
        if (this.#loading === loading) [this.#value, this.#loading] = [value, null];
        return value;
      },
      (error: unknown) => {
        if (this.#loading === loading) this.#loading = null;
        throw error;
      },
    );
    this.#loading = loading;
    return loading;
  }

  drop(): void {
    this.#value = null;
    this.#loading = null;
  }
}
