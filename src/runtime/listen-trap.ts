/**
 * `server.listen()` in a sandbox: nothing can connect from outside, so a listening HTTP server is taken as what the code
 * exports. Its port is never opened; it hears that it listens, and its requests come over the channel.
 */
import type http from 'node:http';
import net from 'node:net';

const SHOWN_PORT = 8080;

export interface ListenTrap {
  /** The first HTTP server that was told to listen. */
  readonly first: http.Server | null;
  /** Resolves when there is a first one, or after `ms` milliseconds. */
  waitForFirst(ms: number): Promise<http.Server | null>;
}

export function installListenTrap(): ListenTrap {
  let first: http.Server | null = null;
  let onFirst: (() => void) | null = null;
  const trapped = (server: http.Server, values: readonly unknown[]): void => {
    first ??= server;
    pretendToListen(server, values);
    onFirst?.();
  };
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function (this: net.Server, ...values: unknown[]): net.Server {
    if (!isHttpServer(this)) return Reflect.apply(listen, this, values) as net.Server;
    trapped(this, values);
    return this;
  } as typeof listen;
  return {
    get first() {
      return first;
    },
    waitForFirst: async (ms) => {
      if (first !== null) return first;
      await new Promise<void>((resolve) => {
        onFirst = resolve;
        setTimeout(resolve, ms);
      });
      onFirst = null;
      return first;
    },
  };
}

/** Of `node:http` or `node:https`; the latter is not loaded just to ask, it costs each sandbox 10 ms and 1.6 MB. */
export function isHttpServer(value: unknown): value is http.Server {
  return value instanceof net.Server && 'requestTimeout' in value;
}

function pretendToListen(server: net.Server, values: readonly unknown[]): void {
  const port = portOf(values[0]);
  let isListening = true;
  const own = (value: unknown): PropertyDescriptor => ({ value, configurable: true, writable: true });
  Object.defineProperties(server, {
    listening: { get: () => isListening, configurable: true },
    address: own(() => (isListening ? { address: '127.0.0.1', family: 'IPv4', port } : null)),
    close: own((done?: (error?: Error) => void) => {
      isListening = false;
      process.nextTick(() => {
        server.emit('close');
        done?.();
      });
      return server;
    }),
  });
  const callback = values.at(-1);
  if (typeof callback === 'function') server.once('listening', callback as () => void);
  process.nextTick(() => server.emit('listening'));
}

function portOf(value: unknown): number {
  const port = typeof value === 'object' && value !== null ? (value as { port?: unknown }).port : value;
  return Number.isInteger(Number(port)) && Number(port) > 0 ? Number(port) : SHOWN_PORT;
}
