/** Code is held in memory while it is deployed, so only so many calls of a container at once; the bodies of the others wait in their sockets. */
import type { ServerResponse } from 'node:http';
import { BerthError } from '../contracts/errors.ts';
import { BoundedQueue } from '../kernel/bounded-queue.ts';
import type { Clock } from '../kernel/clock.ts';
import { webtaskLimits } from './webtask-limits.ts';

interface Waiting {
  readonly go: () => void;
  isGone: boolean;
}

interface Line {
  running: number;
  readonly waiting: BoundedQueue<Waiting>;
}

const atOnce = webtaskLimits.webtaskDeploysPerTenant.value;
const queue = webtaskLimits.webtaskDeployQueue.value;
const waitMs = webtaskLimits.webtaskDeployQueueMs.value;

export class Turns {
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when it is this call's turn, which ends with its response, or before that with a call of what it resolves to.
   * @throws BerthError QUEUE_FULL, CONCURRENCY_LIMIT after waiting too long
   */
  async take(container: string, response: ServerResponse): Promise<() => void> {
    const line = this.#lines.get(container) ?? { running: 0, waiting: new BoundedQueue<Waiting>(queue) };
    this.#lines.set(container, line);
    if (line.running < atOnce) line.running += 1;
    else await this.#wait(line, response);
    let isOver = false;
    const end = (): void => {
      if (isOver) return;
      isOver = true;
      response.off('close', end);
      this.#end(container, line);
    };
    if (response.closed) end();
    else response.once('close', end);
    return end;
  }

  #wait(line: Line, response: ServerResponse): Promise<void> {
    return new Promise((resolve, reject) => {
      const place: Waiting = {
        isGone: false,
        go: () => {
          cancel();
          response.off('close', leave);
          resolve();
        },
      };
      const leave = (): void => {
        cancel();
        place.isGone = true;
        reject(new BerthError('CONCURRENCY_LIMIT', { name: 'webtaskDeployQueueMs', limit: waitMs }));
      };
      const cancel = this.#clock.after(waitMs, leave);
      if (line.waiting.push(place)) return void response.once('close', leave);
      cancel();
      reject(new BerthError('QUEUE_FULL', { name: 'webtaskDeployQueue', limit: queue }));
    });
  }

  /** The place passes on to the one that waits longest. */
  #end(container: string, line: Line): void {
    for (let next = line.waiting.shift(); next !== undefined; next = line.waiting.shift())
      if (!next.isGone) return next.go();
    line.running -= 1;
    if (line.running === 0) this.#lines.delete(container);
  }
}
