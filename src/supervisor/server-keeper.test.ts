import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Socket } from 'node:net';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { ServerKeeper } from './server-keeper.ts';
import type { ServerExit, ServerProcess } from './server-process.ts';

class FakeServer implements ServerProcess {
  readonly pid = 1;
  readonly socket = null as unknown as Socket;
  readonly #ready = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<ServerExit>();
  readonly signals: string[] = [];
  readonly ready = this.#ready.promise;
  readonly exited = this.#exited.promise;

  async serve(): Promise<void> {
    this.#ready.resolve();
    await turn();
  }

  async end(exit: Partial<ServerExit>): Promise<void> {
    this.#exited.resolve({ code: null, signal: null, ...exit });
    for (let turns = 0; turns < 5; turns++) await turn();
  }

  kill(signal: NodeJS.Signals): void {
    this.signals.push(signal);
    if (signal === 'SIGKILL') void this.end({ signal });
  }
}

let clock: FakeClock;
let servers: FakeServer[];
let restarts: boolean[];
let events: string[];
let keeper: ServerKeeper;
let breach: () => void;
let code: Promise<number>;

beforeEach(async () => {
  clock = new FakeClock();
  servers = [];
  restarts = [];
  events = [];
  keeper = new ServerKeeper({
    clock,
    log: { info: () => undefined, error: (_facts, text) => events.push(text) },
    async start(isRestart) {
      restarts.push(isRestart);
      const server = new FakeServer();
      servers.push(server);
      return server;
    },
    serve: (_server, onBreach) => {
      breach = onBreach;
      return { end: async () => void events.push('session ended') };
    },
    cleanUp: () => void events.push('cleaned up'),
  });
  code = keeper.run();
  await turn();
});

const latest = (): FakeServer => servers.at(-1)!;

describe('the keeper of the server', () => {
  it('gives up when the first server cannot start, with its exit code', async () => {
    await latest().end({ code: 2 });
    expect(await code).toBe(2);
    expect(events).toEqual(['session ended', 'cleaned up']);
    expect(servers).toHaveLength(1);
  });

  it('starts another when one that served dies, once the sandboxes of the first are gone', async () => {
    await latest().serve();
    await clock.advance(60_000);
    await latest().end({ signal: 'SIGKILL' });
    expect(events).toEqual(['session ended', 'cleaned up', 'the server ended; another is started']);
    expect(restarts).toEqual([false, true]);
  });

  it('waits longer and longer for one that dies soon, and gives up in the end', async () => {
    await latest().serve();
    const pauses: number[] = [];
    for (;;) {
      const count = servers.length;
      await latest().end({ code: 1 });
      const isOver = await Promise.race([code.then(() => true), turn().then(() => false)]);
      if (isOver) break;
      let waited = 0;
      while (servers.length === count) {
        await clock.advance(50);
        waited += 50;
        for (let turns = 0; turns < 5; turns++) await turn();
      }
      pauses.push(waited);
    }
    expect(pauses.slice(0, 7)).toEqual([50, 100, 200, 400, 800, 1_600, 2_000]);
    expect(Math.max(...pauses)).toBe(2_000);
    expect(pauses).toHaveLength(20);
    expect(await code).toBe(1);
  });

  it('ends a server that breaks the protocol, and one that does not get ready', async () => {
    await latest().serve();
    breach();
    expect(latest().signals).toEqual(['SIGKILL']);
    await turn();
    await clock.advance(50);
    for (let turns = 0; turns < 5; turns++) await turn();
    expect(servers).toHaveLength(2);
    await clock.advance(60_000);
    expect(servers[1]!.signals).toEqual(['SIGKILL']);
  });

  it('passes a signal on, and ends as the server ends', async () => {
    await latest().serve();
    keeper.stop('SIGINT');
    expect(latest().signals).toEqual(['SIGINT']);
    await latest().end({ code: 0 });
    expect(await code).toBe(0);
    expect(servers).toHaveLength(1);
  });

  it('stops also between two servers, and before the first is there', async () => {
    await latest().serve();
    await latest().end({ code: 1 });
    keeper.stop('SIGTERM');
    expect(await code).toBe(0);
    expect(servers).toHaveLength(1);
  });
});
