import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../kernel/testing/fake-clock.ts';
import { HomeConnections } from './home-connections.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

async function listening(host: string): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }).listen(0, host);
  await once(server, 'listening');
  cleanups.push(() => void server.close());
  return server;
}

/** @returns both ends of one connection */
async function pair(server: Server, host: string): Promise<[client: Socket, accepted: Socket]> {
  const client = connect((server.address() as AddressInfo).port, host);
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
    [Socket],
    unknown,
  ];
  for (const socket of [client, accepted]) {
    socket.on('error', () => undefined);
    cleanups.push(() => void socket.destroy());
  }
  return [client, accepted];
}

describe('connections that lead home', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['::', '127.0.0.1'],
  ])('are known at the other end: of a server on %s, by way of %s', async (host, target) => {
    const home = new HomeConnections(new FakeClock());
    const server = await listening(host);
    const [client, accepted] = await pair(server, target);
    const [, stranger] = await pair(server, target);
    home.add(client, 3);
    expect([home.hopsOf(accepted), home.hopsOf(stranger)]).toEqual([3, 0]);
  });

  it('are known a while longer than they are open, and then no more', async () => {
    const clock = new FakeClock();
    const home = new HomeConnections(clock);
    const server = await listening('127.0.0.1');
    const [client, accepted] = await pair(server, '127.0.0.1');
    home.add(client, 2);
    client.destroy();
    await once(client, 'close');
    await clock.advance(9_000);
    expect(home.hopsOf(accepted)).toBe(2);
    await clock.advance(2_000);
    expect(home.hopsOf(accepted)).toBe(0);
  });
});
