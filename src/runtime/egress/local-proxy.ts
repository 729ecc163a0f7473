/**
 * Proxies for child processes, whose `net` is not ours: HTTP and SOCKS 5 on one port of the sandbox's loopback, told apart by
 * the first byte. Opened with the first child process; a sandbox without any has none.
 */
import net from 'node:net';
import { createHttpProxy } from './http-proxy.ts';
import { Process } from './internals.ts';
import { serveSocks } from './socks.ts';
import { isLocalHost } from './target-names.ts';

const SOCKS_VERSION = 5;

export interface LocalProxyOptions {
  /** Runs outside of any invocation: what children do is nobody's in particular. */
  readonly detached: <T>(action: () => T) => T;
}

export function installLocalProxy({ detached }: LocalProxyOptions): void {
  let port: number | null = null;
  const spawn = Process.prototype.spawn;
  Process.prototype.spawn = function (...values) {
    const [file, given, cwd, environment, ...more] = values;
    port ??= detached(openProxy);
    if (port === null || environment === undefined) return Reflect.apply(spawn, this, values);
    return Reflect.apply(spawn, this, [file, given, cwd, withProxies(environment, port), ...more]);
  };
}

/** @returns the port, at once; null: it could not be opened, and children go without */
function openProxy(): number | null {
  const http = createHttpProxy();
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    client.on('error', () => client.destroy());
    if (!isLocalHost(client.remoteAddress ?? '')) return void client.destroy();
    client.once('data', (first: Buffer) => {
      if (first[0] === SOCKS_VERSION) return serveSocks(client, first);
      client.unshift(first);
      http.emit('connection', client);
    });
  });
  server.on('error', () => undefined);
  // Without a host: with one Node would bind only later, and the child starts now.
  server.listen(0);
  server.unref();
  const address = server.address();
  return address === null || typeof address === 'string' ? null : address.port;
}

/** What the code sets itself is left as it is. `NODE_USE_ENV_PROXY`: a child that is Node heeds the others (Node 24.5). */
function withProxies(pairs: readonly string[], port: number): string[] {
  const http = `http://127.0.0.1:${port}`;
  const proxies = {
    HTTP_PROXY: http,
    HTTPS_PROXY: http,
    ALL_PROXY: `socks5h://127.0.0.1:${port}`,
    NO_PROXY: 'localhost,127.0.0.1,::1',
  };
  const names = Object.entries(proxies).flatMap(([name, value]) => [
    [name, value],
    [name.toLowerCase(), value],
  ]);
  const all = [...names, ['NODE_USE_ENV_PROXY', '1']] as [string, string][];
  const given = new Set(pairs.map((pair) => pair.slice(0, pair.indexOf('='))));
  return [...pairs, ...all.filter(([name]) => !given.has(name)).map(([name, value]) => `${name}=${value}`)];
}
