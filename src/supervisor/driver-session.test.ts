import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asSandboxId, type SandboxId, volumeIdSchema } from '../contracts/ids.ts';
import type { Driver, SandboxExit, SandboxLimits } from '../drivers/driver.ts';
import { MAX_MESSAGE_BYTES } from '../drivers/remote/message-stream.ts';
import { greeting, PROTOCOL_VERSION } from '../drivers/remote/protocol.ts';
import { createRemoteDriver } from '../drivers/remote/remote-driver.ts';
import { socketPair } from '../drivers/remote/testing/socket-pair.ts';
import { FakeDriver } from '../sandboxes/testing/fake-driver.ts';
import { ChannelFolder } from './channel-folder.ts';
import { DriverSession } from './driver-session.ts';
import { ownKind } from '../drivers/facts.ts';

const MAX_SANDBOXES = 3;
const limits: SandboxLimits = {
  memoryBytes: 1 << 28,
  cpuMillis: 1_000,
  pids: 40,
  tmpBytes: 1 << 20,
  tmpInodes: 64,
};
const basis = { limits, heapMb: 64, kind: ownKind };
const never = new AbortController().signal;
const uid = process.geteuid!();

let runDir: string;
let channels: ChannelFolder;
let driver: FakeDriver;
let session: DriverSession;
let server: Socket;
let line: Socket;
let breaches: number;
const listeners: Server[] = [];
const warnings: string[] = [];

beforeEach(async () => {
  runDir = mkdtempSync(join(tmpdir(), 'berth-session-'));
  channels = new ChannelFolder({ runDir, serverUid: uid });
  driver = new FakeDriver();
  [server, line] = await socketPair();
  breaches = 0;
  session = new DriverSession({
    socket: line,
    driver,
    channels,
    maxSandboxes: MAX_SANDBOXES,
    log: { info: () => undefined, warn: (_facts, message) => warnings.push(message) },
    onBreach: () => void breaches++,
  });
});
afterEach(async () => {
  server.destroy();
  await session.end();
  for (const listener of listeners.splice(0)) listener.close();
  rmSync(runDir, { recursive: true, force: true });
  warnings.splice(0);
});

async function listening(name: string): Promise<{ id: SandboxId; channelDir: string }> {
  const id = asSandboxId(name);
  const channelDir = channels.pathOf(id);
  mkdirSync(channelDir, { mode: 0o700 });
  const listener = createServer();
  listeners.push(listener);
  await new Promise<void>((resolve) => listener.listen(join(channelDir, 'channel.sock'), resolve));
  return { id, channelDir };
}

function remote(onLost = (): void => undefined): Driver {
  return createRemoteDriver({ name: 'process', socket: server, onLost });
}

function frame(message: unknown): Buffer {
  const body = Buffer.from(typeof message === 'string' ? message : JSON.stringify(message));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

async function until(check: () => boolean): Promise<void> {
  const end = Date.now() + 5_000;
  while (!check()) {
    if (Date.now() > end) throw new Error('it did not happen');
    await turn();
  }
}

const create = (id: string, more: object = {}): object => ({
  call: 1,
  verb: 'create',
  spec: { id, channelDir: join(channels.path, id), ...basis, ...more },
});

const startService = (more: object): object => ({
  call: 1,
  verb: 'startService',
  service: {
    id: 's0000000000',
    channelDir: join(channels.path, 's0000000000'),
    kind: 'redis',
    volume: `v${'0'.repeat(20)}`,
    isolation: 'standard',
    memoryBytes: 2 ** 28,
    ...more,
  },
});

describe('a server that speaks otherwise', () => {
  const other = 's0000000000';
  it.each<[what: string, ...messages: (Buffer | (() => Buffer))[]]>([
    ['bytes at random', Buffer.from('GET / HTTP/1.1\r\nHost: supervisor\r\n\r\n')],
    ['a message longer than any', Buffer.from([0x7f, 0xff, 0xff, 0xff])],
    [
      'a message one byte too long',
      (() => {
        const head = Buffer.alloc(4);
        head.writeUInt32BE(MAX_MESSAGE_BYTES + 1);
        return head;
      })(),
    ],
    ['no JSON', frame(greeting), frame('{"call":1,')],
    ['no greeting', frame({ call: 1, verb: 'facts' })],
    ['another version', frame({ protocol: PROTOCOL_VERSION + 1 })],
    ['a verb that is none', frame(greeting), frame({ call: 1, verb: 'exec', command: 'id' })],
    ['a field that is not asked for', frame(greeting), frame({ call: 1, verb: 'facts', uid: 0 })],
    ['no object', frame(greeting), frame([1, 2, 3])],
    ['an id that is a path', frame(greeting), frame({ call: 1, verb: 'destroy', id: '../../etc' })],
    ['a number that is none', frame(greeting), frame({ call: -1, verb: 'facts' })],
    ['a directory elsewhere', frame(greeting), () => frame(create(other, { channelDir: '/etc' }))],
    [
      'the directory of another',
      frame(greeting),
      () => frame(create(other, { channelDir: join(channels.path, 's1111111111') })),
    ],
    [
      'a way out of the folder',
      frame(greeting),
      () => frame(create(other, { channelDir: `${channels.path}/${other}/../../..` })),
    ],
    [
      'memory above the ceiling',
      frame(greeting),
      () => frame(create(other, { limits: { ...limits, memoryBytes: 2 ** 50 } })),
    ],
    ['a limit of nothing', frame(greeting), () => frame(create(other, { limits: { ...limits, pids: 0 } }))],
    ['a limit that is left out', frame(greeting), () => frame(create(other, { limits: { pids: 40 } }))],
    [
      'a service in the directory of another',
      frame(greeting),
      () => frame(startService({ channelDir: '/etc' })),
    ],
    ['a service of an image of its own', frame(greeting), () => frame(startService({ image: 'evil' }))],
    ['a kind that is a path', frame(greeting), () => frame(startService({ kind: '../x' }))],
    ['a volume that is a path', frame(greeting), () => frame(startService({ volume: '/var/lib' }))],
    ['a volume of others', frame(greeting), frame({ call: 1, verb: 'removeVolume', volume: 'database' })],
    [
      'a service with more memory than any',
      frame(greeting),
      () => frame(startService({ memoryBytes: 2 ** 50 })),
    ],
    ['a heap larger than the memory may be', frame(greeting), () => frame(create(other, { heapMb: 1e9 }))],
  ])('is cut off: %s', async (_what, ...messages) => {
    for (const message of messages) server.write(typeof message === 'function' ? message() : message);
    await until(() => breaches === 1);
    await until(() => server.destroyed || server.readableEnded || line.destroyed);
    expect([driver.created, driver.services, driver.removedVolumes]).toEqual([[], [], []]);
    expect(warnings).toEqual(['the server broke the protocol of the supervisor; it is ended']);
  });

  it('is cut off when it never reads its answers', async () => {
    server.pause();
    server.on('error', () => undefined); // it goes on writing when it is cut off
    server.write(frame(greeting));
    driver.frames = Array.from({ length: 50 }, (_, at) => ({
      functionName: 'f'.repeat(8_000),
      file: 'x',
      line: at,
      column: 1,
    }));
    for (let call = 1; call < 100; call++) {
      server.write(frame({ call, verb: 'locate', id: other }));
      await turn();
    }
    await until(() => breaches === 1);
  });
});

describe('the directory of a channel', () => {
  const id = asSandboxId('s2222222222');
  const attempt = async (): Promise<void> => {
    server.write(frame(greeting));
    server.write(frame(create(id)));
    await until(() => breaches === 1);
    expect(driver.created).toEqual([]);
  };

  it('that is a link to another is refused', async () => {
    symlinkSync('/etc', channels.pathOf(id));
    const before = statSync('/etc');
    await attempt();
    expect(statSync('/etc')).toMatchObject({ mode: before.mode, uid: before.uid, gid: before.gid });
  });

  it('that is not there is refused', attempt);

  it('without a socket is refused', async () => {
    mkdirSync(channels.pathOf(id));
    await attempt();
  });

  it('with a link in place of the socket is refused, and what it leads to stays as it is', async () => {
    const target = join(runDir, 'target');
    writeFileSync(target, '', { mode: 0o640 });
    mkdirSync(channels.pathOf(id));
    symlinkSync(target, join(channels.pathOf(id), 'channel.sock'));
    await attempt();
    expect(statSync(target).mode & 0o777).toBe(0o640);
  });

  it('with more than the socket is refused', async () => {
    await listening(id);
    writeFileSync(join(channels.pathOf(id), 'more'), '');
    await attempt();
  });

  it('goes with the sandbox', async () => {
    const one = remote();
    const spec = await listening(id);
    await one.create({ ...spec, ...basis }, never);
    driver.exit(id, { code: 1 });
    expect(readdirSync(channels.path)).toEqual([]);
  });

  it('that a server left behind is swept, though not what is below it', async () => {
    await listening('s3333333333');
    mkdirSync(join(channels.path, 's4444444444', 'deep'), { recursive: true });
    writeFileSync(join(channels.path, 'file'), '');
    symlinkSync('/etc', join(channels.path, 'link'));
    expect(channels.sweep()).toHaveLength(1);
    expect(readdirSync(channels.path)).toEqual(['s4444444444']);
    expect(statSync('/etc').isDirectory()).toBe(true);
  });
});

describe('sandboxes of a server', () => {
  it('are no more than maxSandboxes, and one for each id', async () => {
    const one = remote();
    const start = async (name: string): Promise<void> =>
      one.create({ ...(await listening(name)), ...basis }, never);
    for (const name of ['saaaaaaaaaa', 'sbbbbbbbbbb', 'scccccccccc']) await start(name);
    await expect(start('sdddddddddd')).rejects.toMatchObject({ code: 'SANDBOX_START_FAILED' });
    await one.destroy(asSandboxId('saaaaaaaaaa'));
    await start('seeeeeeeeee');
    expect(driver.live.size).toBe(MAX_SANDBOXES);
    expect(breaches).toBe(0);
  });

  it('with services beside them, which take none of their places', async () => {
    const client = remote();
    const made = await listening('s0000000001');
    const spec = { kind: 'redis', volume: volumeIdSchema.parse(`v${'0'.repeat(20)}`), memoryBytes: 2 ** 28 };
    await client.startService({ ...made, ...spec, isolation: 'hardened' }, never);
    expect(driver.services).toEqual([{ ...made, ...spec, isolation: 'hardened' }]);
    for (let at = 0; at < MAX_SANDBOXES; at++) {
      const one = await listening(`s100000000${at}`);
      await client.create({ ...one, ...basis }, never);
    }
    await client.removeVolume(spec.volume);
    expect(driver.removedVolumes).toEqual([spec.volume]);
    driver.sizes = [{ volume: spec.volume, bytes: 5 }];
    expect(await client.volumeSizes()).toEqual(driver.sizes);
    await client.destroy(made.id);
    expect(existsSync(made.channelDir)).toBe(false);
  });

  it('are destroyed when it ends, those that are being made too', async () => {
    const one = remote();
    await one.create({ ...(await listening('saaaaaaaaaa')), ...basis }, never);
    driver.isHeld = true;
    const started = one.create({ ...(await listening('sbbbbbbbbbb')), ...basis }, never);
    started.catch(() => undefined);
    await until(() => driver.created.length === 2);
    driver.failDestroys = 1;
    await session.end();
    await expect(started).rejects.toMatchObject({ code: 'SANDBOX_START_FAILED' });
    expect(driver.live.size).toBe(0);
    expect(readdirSync(channels.path)).toEqual([]);
  });
});

describe('the driver of a server', () => {
  it('tells an exit after the create, and before what follows it', async () => {
    const one = remote();
    const order: string[] = [];
    one.onExit((exit: SandboxExit) => order.push(`exit ${String(exit.code)}`));
    driver.onCreated = ({ id }) =>
      void Promise.resolve()
        .then(() => Promise.resolve())
        .then(() => turn())
        .then(() => driver.exit(id, { code: 7 }));
    const spec = await listening('saaaaaaaaaa');
    await one.create({ ...spec, ...basis }, never).then(() => order.push('created'));
    await one.destroy(spec.id).then(() => order.push('destroyed'));
    expect(order).toEqual(['created', 'exit 7', 'destroyed']);
  });

  it('fails every call, once and clearly, when the supervisor is gone', async () => {
    let lost = 0;
    const one = remote(() => void lost++);
    driver.isHeld = true;
    const started = one.create({ ...(await listening('saaaaaaaaaa')), ...basis }, never);
    await until(() => driver.created.length === 1);
    line.destroy();
    await expect(started).rejects.toMatchObject({ code: 'SANDBOX_START_FAILED' });
    await expect(one.usage(asSandboxId('saaaaaaaaaa'))).rejects.toThrow('did not answer');
    await one.destroy(asSandboxId('saaaaaaaaaa'));
    await one.close();
    expect(lost).toBe(1);
  });

  it('asks for the usage of many sandboxes in few writes', async () => {
    const one = remote();
    await one.facts();
    const before = server.bytesWritten;
    let writes = 0;
    line.on('data', () => void writes++);
    await Promise.all(Array.from({ length: 200 }, () => one.usage(asSandboxId('saaaaaaaaaa'))));
    expect(driver.usageCalls).toBe(200);
    expect(server.bytesWritten).toBeGreaterThan(before);
    expect(writes).toBeLessThan(5);
  });
});
