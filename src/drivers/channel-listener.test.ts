import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { type ChannelListener, listenForSandbox } from './channel-listener.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

function makeRunDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'berth-listener-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function listen(dir: string): Promise<ChannelListener> {
  const listener = await listenForSandbox(dir);
  cleanups.push(() => listener.close());
  return listener;
}

function call(dir: string): Socket {
  const socket = connect(join(dir, 'channel.sock'));
  socket.on('error', () => undefined);
  cleanups.push(() => void socket.destroy());
  return socket;
}

describe('the socket on which a sandbox calls', () => {
  it('lies in a directory that only its owner can enter', async () => {
    const dir = join(makeRunDir(), 's1');
    await listen(dir);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, 'channel.sock')).isSocket()).toBe(true);
  });

  it('takes one connection, carries it, and is gone', async () => {
    const dir = join(makeRunDir(), 's1');
    const listener = await listen(dir);
    const sandbox = call(dir);
    const host = await listener.connection;
    cleanups.push(() => void host.destroy());
    sandbox.write('hello');
    const [said] = (await once(host, 'data')) as [Buffer];
    expect(said.toString()).toBe('hello');
    expect(existsSync(join(dir, 'channel.sock'))).toBe(false);
    const second = connect(join(dir, 'channel.sock'));
    const [error] = (await once(second, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ENOENT');
  });

  it('drops who connects at the same moment as the first', async () => {
    const dir = join(makeRunDir(), 's1');
    const listener = await listen(dir);
    const callers = [call(dir), call(dir), call(dir)];
    const ends = callers.map((caller) => new Promise((resolve) => caller.once('close', resolve)));
    const host = await listener.connection;
    cleanups.push(() => void host.destroy());
    host.write('you');
    await Promise.any(callers.map((caller) => once(caller, 'data')));
    // Whoever is not the one that was taken is closed, while the one lives.
    await Promise.any([
      Promise.all(ends.slice(0, 2)),
      Promise.all(ends.slice(1)),
      Promise.all([ends[0], ends[2]]),
    ]);
    expect(host.destroyed).toBe(false);
  });

  it('can be closed before anybody came', async () => {
    const dir = join(makeRunDir(), 's1');
    const listener = await listen(dir);
    listener.close();
    listener.close();
    await expect(listener.connection).rejects.toThrow('before a sandbox connected');
    expect(existsSync(join(dir, 'channel.sock'))).toBe(false);
  });

  it('refuses a directory that is there already, and a path that no socket can have', async () => {
    const dir = makeRunDir();
    await expect(listenForSandbox(dir)).rejects.toThrow('EEXIST');
    await expect(listenForSandbox(join(dir, 'x'.repeat(120)))).rejects.toThrow('longer than 107 bytes');
    expect(existsSync(join(dir, 'x'.repeat(120)))).toBe(false);
  });
});
