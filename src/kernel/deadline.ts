/** Every wait has a deadline. */
import type { Clock } from './clock.ts';

export class DeadlinePassed extends Error {
  override readonly name = 'DeadlinePassed';
}

/**
 * What `promise` gives, if it comes within `ms`. The work behind it is not stopped; a rejection that comes later is dropped.
 * @throws DeadlinePassed
 */
export function withDeadline<Value>(clock: Clock, ms: number, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => reject(new DeadlinePassed(`nothing came within ${ms} ms`)));
    promise.then(resolve, reject).finally(cancel);
  });
}
