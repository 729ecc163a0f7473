/** `connect` of all sockets: what leads out of the sandbox gets a handle that is a stream of the channel. */
import net from 'node:net';
import type { EgressPort } from './egress-port.ts';
import { normalizeArguments, setHandle, type SocketInternals } from './internals.ts';
import { SocketHandle } from './socket-handle.ts';
import { isLocalHost, writtenName } from './target-names.ts';

interface ConnectOptions {
  readonly host?: unknown;
  readonly port?: unknown;
  readonly path?: unknown;
  readonly family?: unknown;
  readonly lookup?: unknown;
  readonly [name: string]: unknown;
}

/** Node looks no address up: the broker does, and connects to what it has checked. TEST-NET-1 (RFC 5737) leads nowhere. */
const PLACEHOLDER = '192.0.2.1';

export function installConnect(port: EgressPort): void {
  const connect = net.Socket.prototype.connect as (this: net.Socket, ...values: unknown[]) => net.Socket;
  net.Socket.prototype.connect = function (this: net.Socket, ...values: unknown[]): net.Socket {
    const [options, callback, ...more] = normalizeArguments(values) as [ConnectOptions, ...unknown[]];
    const isTakenOver = leadsOut(options) && !isConnecting(this);
    if (!isTakenOver) return Reflect.apply(connect, this, values);
    const outward = outwardOptions(this, options, port);
    return Reflect.apply(connect, this, [
      outward,
      ...(typeof callback === 'function' ? [callback] : []),
      ...more,
    ]);
  } as typeof net.Socket.prototype.connect;
}

/** What is no valid target is left to Node, which says so. */
function leadsOut({ host, port, path }: ConnectOptions): boolean {
  if (path !== undefined && path !== null) return false;
  return port !== undefined && typeof host === 'string' && host !== '' && !isLocalHost(host);
}

/** Of itself, or of the socket below it: then nothing is begun anew. */
function isConnecting(socket: net.Socket): boolean {
  return (socket as unknown as SocketInternals)._parent?.connecting === true;
}

/** Gives the socket its handle. @returns the options for Node's own `connect`, which goes on from there */
function outwardOptions(socket: net.Socket, options: ConnectOptions, port: EgressPort): ConnectOptions {
  const host = options.host as string;
  const name = net.isIP(host) === 0 ? writtenName(host) : null;
  // With a look-up or block list of its own, code wants to know the address: Node asks, and the name leads there.
  const isAskedHere = typeof options.lookup === 'function' || 'blockList' in socket || name === null;
  const handle = new SocketHandle({
    port,
    socket,
    name: isAskedHere ? null : name,
    family: familyOf(options),
  });
  if (socket.destroyed) (socket as unknown as SocketInternals)._handle = null;
  setHandle(socket, handle.handle);
  // Attempts by turns would replace the handle; the broker makes them.
  const common = { ...options, autoSelectFamily: false, localAddress: undefined, localPort: undefined };
  return isAskedHere ? common : { ...common, host: PLACEHOLDER };
}

function familyOf({ family }: ConnectOptions): 0 | 4 | 6 {
  if (family === 4 || family === 'IPv4') return 4;
  return family === 6 || family === 'IPv6' ? 6 : 0;
}
