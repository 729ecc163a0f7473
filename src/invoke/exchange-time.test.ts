/** The clocks of an exchange. The test owns time; the connections are real. */
import http from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LimitOverrides } from '../contracts/limits.ts';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import type { Invoker } from './invoker.ts';
import {
  FakeDirectory,
  fakeInvoker,
  listening,
  sendRaw,
  type TestServer,
  until,
} from './testing/bench-host.ts';
import { type FakeCall, FakeSandboxes } from './testing/fake-sandboxes.ts';

let play: (call: FakeCall) => void;
let clock: FakeClock;
let sandboxes: FakeSandboxes;
let invoker: Invoker;
let host: TestServer;
let failures: string[];

async function serve(limits: LimitOverrides): Promise<void> {
  const directory = new FakeDirectory();
  directory.addTenant('acme', limits);
  const runnable = directory.addFunction('acme', 'hello');
  sandboxes = new FakeSandboxes((call) => play(call));
  const hooks = { onFailure: ({ error }: { error: { code: string } }) => failures.push(error.code) };
  invoker = fakeInvoker(sandboxes, { hooks, clock });
  host = await listening(
    http.createServer((request, response) =>
      invoker.exchange(runnable, request, response, { url: request.url!, basePath: '' }),
    ),
  );
}

beforeEach(() => {
  failures = [];
  clock = new FakeClock();
  play = (call) => call.answer('hello');
});

afterEach(async () => {
  await host[Symbol.asyncDispose]();
  await until(() => invoker.inFlight === 0);
  await settled();
  await clock.advance(200);
  // no timer is left behind
  expect(clock.waiting).toBe(0);
});

describe('time', () => {
  it('without an answer ends in TIMEOUT with the name of the limit', async () => {
    play = () => undefined;
    await serve({ wallMs: 1_000 });
    const waiting = fetch(host.url);
    await until(() => sandboxes.calls.length === 1);
    await clock.advance(900);
    expect(sandboxes.calls[0]!.cancelledFor).toBeNull();
    await clock.advance(300);
    const response = await waiting;
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ code: 'TIMEOUT', name: 'wallMs', limit: 1_000 });
    expect(sandboxes.calls[0]!.cancelledFor).toBe('timeout');
  });

  it('does not end a stream that moves, and ends one that does not', async () => {
    play = (call) => call.respond({ status: 200, headers: [] }, '', false);
    await serve({ wallMs: 1_000 });
    const response = await fetch(host.url);
    const text = response.text().catch(() => 'broken off');
    for (let piece = 0; piece < 6; piece++) {
      await clock.advance(800);
      sandboxes.calls[0]!.data('x');
    }
    expect(sandboxes.calls[0]!.cancelledFor).toBeNull();
    await clock.advance(1_300);
    expect(await text).toBe('broken off');
    expect(sandboxes.calls[0]!.cancelledFor).toBe('timeout');
  });

  it('is bounded for work after the response as well, without harm to the connection', async () => {
    play = (call) => call.respond({ status: 200, headers: [] }, 'x');
    await serve({ wallMs: 1_000 });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const call = (): Promise<boolean> =>
      new Promise((resolve, reject) => {
        const request = http.get(host.url, { agent }, (response) => {
          response.resume().on('end', () => resolve(request.reusedSocket));
        });
        request.on('error', reject);
      });
    await call();
    await clock.advance(1_300);
    expect(sandboxes.calls[0]!.cancelledFor).toBe('timeout');
    await clock.advance(3_000);
    expect(await call()).toBe(true);
    expect(failures).toEqual(['TIMEOUT']);
    sandboxes.calls[1]!.done();
    agent.destroy();
  });

  it('is the caller’s fault where its body only trickles', async () => {
    play = () => undefined;
    await serve({ wallMs: 1_000 });
    const body = sendRaw(
      host.port,
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\nConnection: close\r\n\r\nx',
    );
    await until(() => sandboxes.calls[0]?.receivedBytes === 1);
    await clock.advance(1_300);
    const { text } = await body;
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    expect(text).toContain('REQUEST_TIMEOUT');
  });

  it('leaves no timer behind', async () => {
    await serve({});
    await (await fetch(host.url)).text();
    await until(() => invoker.inFlight === 0);
    await clock.advance(1_000);
    expect(clock.waiting).toBe(0);
  });
});
