/** One open connection of a tenant: counted, timed out when nothing moves, ended when the tenant may not have it any more. */
import type { Duplex } from 'node:stream';
import type { EgressPeer } from '../../contracts/frames.ts';
import type { Limits } from '../../contracts/limits.ts';
import { type Direction, type EgressConnection, EgressError } from './egress.ts';
import type { Held, TenantAccount } from './tenant-account.ts';

export interface ConnectionOptions {
  readonly stream: Duplex;
  readonly peer: EgressPeer;
  readonly account: TenantAccount;
  readonly limits: () => Limits;
  /** Why the policy of now does not allow it, or null. */
  readonly refusal: () => EgressError | null;
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

  constructor(options: ConnectionOptions) {
    const { stream, peer, account, limits } = options;
    this.#options = options;
    this.stream = stream;
    this.peer = peer;
    account.held.add(this);
    // Sockets, and streams to services, which come over HTTP/2.
    if (isTimed(stream)) {
      const { egressIdleMs } = limits();
      stream.setTimeout(egressIdleMs, () =>
        this.end(new EgressError('ETIMEDOUT', `nothing moved for egressIdleMs (${egressIdleMs} ms)`)),
      );
    }
    stream.once('close', () => {
      account.held.delete(this);
      options.onClose();
    });
  }

  count(direction: Direction, bytes: number): void {
    this.#options.onBytes(direction, bytes);
    this.#options.account.count(direction, bytes, this.#options.limits());
  }

  end(error: EgressError): void {
    this.stream.destroy(error);
  }

  recheck(): void {
    const refusal = this.#options.refusal();
    if (refusal !== null) this.end(refusal);
  }
}
