/**
 * Connections of tenants' code that lead back to this host, and so perhaps to the gateway: by their four numbers the gateway
 * finds out that a request on one of them comes from a sandbox, and how often it has been through before. Neither end can
 * choose these numbers for the other, so nobody can shed the count, nor put it on somebody else.
 */
import type { Socket } from 'node:net';
import type { Clock } from '../../kernel/clock.ts';
import { parseAddress } from '../../kernel/ip-address.ts';

/** What was sent before the end may be read after it, when the platform is busy. */
const LINGER_MS = 10_000;

interface Ends {
  readonly fromAddress: string | undefined;
  readonly fromPort: number | undefined;
  readonly toAddress: string | undefined;
  readonly toPort: number | undefined;
}

export class HomeConnections {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #hops = new Map<string, { readonly hops: number }>();

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /** A connected socket of the broker. @param hops of the request that causes it, this time included */
  add(socket: Socket, hops: number): void {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    const key = keyOf({
      fromAddress: localAddress,
      fromPort: localPort,
      toAddress: remoteAddress,
      toPort: remotePort,
    });
    const entry = { hops };
    this.#hops.set(key, entry);
    socket.once('close', () => {
      this.#clock.after(LINGER_MS, () => {
        // The kernel may have given the same four numbers to a later one.
        if (this.#hops.get(key) === entry) this.#hops.delete(key);
      });
    });
  }

  /** @param socket as a server has accepted it @returns 0: it does not come from a sandbox of this host */
  hopsOf(socket: Socket): number {
    if (this.#hops.size === 0) return 0;
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    const ends = {
      fromAddress: remoteAddress,
      fromPort: remotePort,
      toAddress: localAddress,
      toPort: localPort,
    };
    return this.#hops.get(keyOf(ends))?.hops ?? 0;
  }
}

/** One spelling for addresses: a socket of both families tells IPv4 ones as mapped. */
function keyOf({ fromAddress, fromPort, toAddress, toPort }: Ends): string {
  const usual = (address = ''): string => parseAddress(address)?.address ?? address;
  return `${usual(fromAddress)} ${fromPort} ${usual(toAddress)} ${toPort}`;
}
