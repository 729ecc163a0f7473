/** A server that has been taken over, as a process of its own: what the supervisor does with what it says. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ownKind } from '../../src/drivers/facts.ts';
import { PROTOCOL_VERSION } from '../../src/drivers/remote/protocol.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { FakeDriver } from '../../src/sandboxes/testing/fake-driver.ts';
import { ChannelFolder } from '../../src/supervisor/channel-folder.ts';
import { DriverSession } from '../../src/supervisor/driver-session.ts';
import { PublicSocket } from '../../src/supervisor/public-socket.ts';
import { ServerKeeper } from '../../src/supervisor/server-keeper.ts';
import { type ServerExit, startServer } from '../../src/supervisor/server-process.ts';
import { eventually } from '../support/platform.ts';

/** Serves, makes a sandbox as an honest server would, and then says what the test wants. */
const PROGRAM = `
import { mkdirSync, writeSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
const [folder, id, last] = process.argv.slice(2);
const line = new Socket({ fd: 3 });
const say = (message) => {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  line.write(Buffer.concat([head, body]));
};
const limits = { memoryBytes: 2 ** 28, cpuMillis: 1000, pids: 40, tmpBytes: 2 ** 20, tmpInodes: 64 };
const kind = ${JSON.stringify(ownKind)};
const channelDir = folder + '/' + id;
mkdirSync(channelDir, { mode: 0o700 });
createServer().listen(channelDir + '/channel.sock', () => {
  say({ protocol: ${PROTOCOL_VERSION} });
  say({ call: 1, verb: 'create', spec: { id, channelDir, limits, heapMb: 64, kind } });
  writeSync(4, 'x');
});
let hasSpoken = false;
line.on('data', (data) => {
  if (hasSpoken || !String(data).includes('"call":1')) return;
  hasSpoken = true;
  line.write(Buffer.from(last, 'base64'));
});
`;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-hostile-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it.each<[what: string, last: Buffer]>([
  ['bytes at random', Buffer.from('\u0000\u0000\u0000\u0005{"a":')],
  ['a length without end', Buffer.from([0xff, 0xff, 0xff, 0xff])],
  ['HTTP', Buffer.from('POST /create HTTP/1.1\r\nHost: x\r\n\r\n')],
])('is ended with its sandboxes and replaced when it says: %s', async (_what, last) => {
  const program = join(folder, 'server.mjs');
  writeFileSync(program, PROGRAM);
  const driver = new FakeDriver();
  const channels = new ChannelFolder({ runDir: folder, serverUid: process.geteuid!() });
  const publicSocket = new PublicSocket({ host: '127.0.0.1', port: 0 });
  const exits: ServerExit[] = [];
  let started = 0;
  const keeper = new ServerKeeper({
    clock: systemClock,
    log: { info: () => undefined, error: () => undefined },
    async start() {
      started += 1;
      const server = await startServer({
        words: [process.execPath, program, channels.path, `s00000000${started}0`, last.toString('base64')],
        env: process.env,
        handover: '',
        publicFd: publicSocket.fd,
      });
      void server.exited.then((exit) => exits.push(exit));
      return server;
    },
    serve: ({ socket }, onBreach) =>
      new DriverSession({
        socket,
        driver,
        channels,
        maxSandboxes: 4,
        log: { info: () => undefined, warn: () => undefined },
        onBreach,
      }),
    cleanUp: () => expect(channels.sweep()).toEqual([]),
  });
  const run = keeper.run();
  await eventually(() => expect(driver.created.length).toBeGreaterThanOrEqual(2));
  expect(exits[0]).toEqual({ code: null, signal: 'SIGKILL' });
  expect(driver.destroyed[0]).toBe('s0000000010');
  keeper.stop('SIGKILL');
  expect(await run).toBe(0);
  expect(driver.live.size).toBe(0);
  publicSocket.close();
});
