/** One open connection of a tenant: counted, timed out when nothing moves, ended when the tenant may not have it any more. */
import type { Duplex } from 'node:stream';
import type { EgressPeer } from '../../contracts/frames.ts';
import type { Limits } from '../../contracts/limits.ts';
import type { Clock } from '../../kernel/clock.ts';
import { type Direction, type EgressConnection, EgressError } from './egress.ts';
import type { Held, TenantAccount } from './tenant-account.ts';

export interface ConnectionOptions {
  readonly stream: Duplex;
  readonly peer: EgressPeer;
  readonly account: TenantAccount;
  readonly limits: () => Limits;
  /** Why the policy of now does not allow it, or null. */
  readonly refusal: () => EgressError | null;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly onBytes: (direction: Direction, bytes: number) => void;
  readonly onClose: () => void;
}

interface Timed {
  setTimeout(ms: number, onTimeout: () => void): unknown;
}

function isTimed(stream: Duplex): stream is Duplex & Timed {
  return 'setTimeout' in stream;
}

export class Connection implements EgressConnection, Held {
  readonly stream: Duplex;
  readonly peer: EgressPeer;
  readonly #options: ConnectionOptions;
  #movedAt = 0;
  #cancelIdle: () => void = () => undefined;

  constructor(options: ConnectionOptions) {
    const { stream, peer, account, limits } = options;
    this.#options = options;
    this.stream = stream;
    this.peer = peer;
    account.held.add(this);
    const { egressIdleMs } = limits();
    // Sockets, and streams to services, which come over HTTP/2.
    if (isTimed(stream)) stream.setTimeout(egressIdleMs, () => this.#timedOut(egressIdleMs));
    else this.#watchIdle(egressIdleMs);
    stream.once('close', () => {
      this.#cancelIdle();
      account.held.delete(this);
      options.onClose();
    });
  }

  count(direction: Direction, bytes: number): void {
    this.#movedAt = this.#options.clock.monotonic();
    this.#options.onBytes(direction, bytes);
    this.#options.account.count(direction, bytes, this.#options.limits());
  }

  /** For connections to own functions, which never leave the process and have no clock of their own. */
  #watchIdle(idleMs: number): void {
    const { clock } = this.#options;
    this.#movedAt = clock.monotonic();
    const look = (): void => {
      const restMs = this.#movedAt + idleMs - clock.monotonic();
      if (restMs > 0) this.#cancelIdle = clock.after(restMs, look);
      else this.#timedOut(idleMs);
    };
    this.#cancelIdle = clock.after(idleMs, look);
  }

  #timedOut(idleMs: number): void {
    this.end(new EgressError('ETIMEDOUT', `nothing moved for egressIdleMs (${idleMs} ms)`));
  }

  end(error: EgressError): void {
    this.stream.destroy(error);
  }

  recheck(): void {
    const refusal = this.#options.refusal();
    if (refusal !== null) this.end(refusal);
  }
}
