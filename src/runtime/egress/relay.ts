/** Joins a client of the proxies with where it wants to go, and says in words why it cannot. */
import net from 'node:net';
import type { Duplex } from 'node:stream';

export interface RelayTarget {
  readonly host: string;
  readonly port: number;
}

/** By way of `connect` as tenants' code has it, so by the broker, or to the sandbox's own loopback. */
export function open(
  { host, port }: RelayTarget,
  on: {
    readonly opened: (upstream: net.Socket) => void;
    readonly failed: (error: NodeJS.ErrnoException) => void;
  },
): net.Socket {
  const upstream = net.connect({ host, port, allowHalfOpen: true });
  upstream.once('error', on.failed);
  upstream.once('connect', () => {
    upstream.off('error', on.failed);
    on.opened(upstream);
  });
  return upstream;
}

/** Each side’s end is the other’s end, and each side’s failure too. */
export function join(client: Duplex, upstream: Duplex): void {
  const fail = (): void => {
    client.destroy();
    upstream.destroy();
  };
  client.on('error', fail).on('close', () => upstream.destroy());
  upstream.on('error', fail).on('close', () => client.destroy());
  client.pipe(upstream);
  upstream.pipe(client);
}
