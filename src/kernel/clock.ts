/** Time as an argument, so that tests own it. */

export interface Clock {
  /** milliseconds since 1970, for records */
  now(): number;
  /** milliseconds, never goes back, for measuring */
  monotonic(): number;
  /** Calls once after `ms`. @returns a function that takes the call back; harmless when it has happened already */
  after(ms: number, call: () => void): () => void;
  /** Calls once when the input that waits at this moment has been handled. */
  afterInput(call: () => void): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  afterInput: (call) => {
    setImmediate(call);
  },
};
