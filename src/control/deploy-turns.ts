/**
 * Code is held in memory while it is deployed: so many calls of one tenant at once, and so many bytes of all tenants. Others
 * wait in order, bounded in number and time, their bodies in their sockets; tenants take turns. Every face that takes code
 * shares this one.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { BerthError } from '../contracts/errors.ts';
import { platformLimits } from '../contracts/limits.ts';
import type { Clock } from '../kernel/clock.ts';

export interface DeployCall {
  /** The tenant; '' for who has none. */
  readonly owner: string;
  /** The most that its body may have. */
  readonly bytes: number;
  /** The caller has gone. */
  readonly signal: AbortSignal;
}

export interface DeployTurnLimits {
  readonly atOnce: number;
  readonly waiting: number;
  readonly waitMs: number;
  readonly bytes: number;
}

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

interface Line {
  running: number;
  readonly waiting: Set<Waiting>;
}

const { deploysPerTenant, deployQueue, deployQueueMs, deployBytes } = platformLimits;

const usualLimits: DeployTurnLimits = {
  atOnce: deploysPerTenant.value,
  waiting: deployQueue.value,
  waitMs: deployQueueMs.value,
  bytes: deployBytes.value,
};

export class DeployTurns {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #limits: DeployTurnLimits;
  /** By owner; the one whose turn is next stands first. */
  readonly #lines = new Map<string, Line>();
  #bytes = 0;

  constructor(clock: Pick<Clock, 'after'>, limits: Partial<DeployTurnLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...usualLimits, ...limits };
  }

  /** @returns what ends the turn; harmless when called again. @throws BerthError QUEUE_FULL, CONCURRENCY_LIMIT when it took too long */
  async take({ owner, bytes, signal }: DeployCall): Promise<() => void> {
    const line = this.#lines.get(owner) ?? { running: 0, waiting: new Set() };
    const limit = this.#limits.waiting;
    if (line.waiting.size >= limit) throw new BerthError('QUEUE_FULL', { name: 'deployQueue', limit });
    this.#lines.set(owner, line);
    // One that is larger than all that there is may go when it is alone.
    const reserved = Math.min(bytes, this.#limits.bytes);
    await this.#wait(line, reserved, signal);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      line.running -= 1;
      this.#bytes -= reserved;
      this.#letGo();
    };
  }

  #wait(line: Line, bytes: number, signal: AbortSignal): Promise<void> {
    const { waitMs } = this.#limits;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        done();
        line.waiting.delete(waiting);
        reject(new BerthError('CONCURRENCY_LIMIT', { name: 'deployQueueMs', limit: waitMs }));
        this.#letGo();
      };
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', leave);
      };
      const go = (): void => {
        done();
        resolve();
      };
      const waiting = { bytes, go };
      const cancel = this.#clock.after(waitMs, leave);
      signal.addEventListener('abort', leave, { once: true });
      line.waiting.add(waiting);
      if (signal.aborted) leave();
      else this.#letGo();
    });
  }

  /** In the order of turns, and no further than the bytes reach: a large one is not passed over for ever by small ones. */
  #letGo(): void {
    for (let next = this.#next(); next !== null; next = this.#next()) {
      const { owner, line, waiting } = next;
      if (this.#bytes + waiting.bytes > this.#limits.bytes) return;
      line.waiting.delete(waiting);
      line.running += 1;
      this.#bytes += waiting.bytes;
      this.#lines.delete(owner);
      this.#lines.set(owner, line);
      waiting.go();
    }
  }

  #next(): { readonly owner: string; readonly line: Line; readonly waiting: Waiting } | null {
    for (const [owner, line] of this.#lines) {
      const [waiting] = line.waiting;
      if (waiting === undefined && line.running === 0) this.#lines.delete(owner);
      if (waiting !== undefined && line.running < this.#limits.atOnce) return { owner, line, waiting };
    }
    return null;
  }
}

/** How many bytes a body may turn out to have: as announced, else the most that is allowed. */
export function expectedBytes(headers: IncomingHttpHeaders, most: number): number {
  const announced = Number(headers['content-length'] ?? most);
  return Number.isFinite(announced) ? Math.min(Math.max(0, announced), most) : most;
}
