import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, it } from 'vitest';
import { trackSockets } from './open-sockets.ts';

it('a server that stops does not wait for a caller who keeps an upgraded connection half open', async () => {
  const server = createServer();
  const endAll = trackSockets(server);
  server.on('upgrade', (_request, socket) => {
    socket
      .resume()
      .end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const caller = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  caller.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  caller.resume();
  await once(caller, 'end');
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  expect(await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))).toBe(1);
  endAll();
  await closed;
  caller.destroy();
});
