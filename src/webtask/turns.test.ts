import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { Turns } from './turns.ts';

class FakeResponse extends EventEmitter {
  closed = false;

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}

function setUp(): {
  clock: FakeClock;
  take: (container?: string) => { response: FakeResponse; state: () => string };
} {
  const clock = new FakeClock();
  const turns = new Turns(clock);
  return {
    clock,
    take(container = 'acme') {
      const response = new FakeResponse();
      let state = 'waiting';
      turns.take(container, response as unknown as ServerResponse).then(
        () => (state = 'running'),
        (error: { code: string }) => (state = error.code),
      );
      return { response, state: () => state };
    },
  };
}

describe('turns', () => {
  it('lets four of a container go on, and the next when one ends', async () => {
    const { take, clock } = setUp();
    const running = [take(), take(), take(), take()];
    const [fifth, sixth] = [take(), take()];
    const other = take('other');
    await settled();
    expect([...running, other].map(({ state }) => state())).toEqual(Array(5).fill('running'));
    expect([fifth.state(), sixth.state()]).toEqual(['waiting', 'waiting']);
    running[2]!.response.close();
    await settled();
    expect([fifth.state(), sixth.state()]).toEqual(['running', 'waiting']);
    fifth.response.close();
    await settled();
    expect(sixth.state()).toBe('running');
    expect(clock.waiting).toBe(0);
  });

  it('passes over who has gone or waited too long', async () => {
    const { take, clock } = setUp();
    const first = take();
    for (let index = 0; index < 3; index++) take();
    const gone = take();
    await clock.advance(30_000);
    const patient = take();
    gone.response.close();
    await clock.advance(31_000);
    expect([gone.state(), patient.state()]).toEqual(['CONCURRENCY_LIMIT', 'waiting']);
    first.response.close();
    await settled();
    expect(patient.state()).toBe('running');
    const late = take();
    await clock.advance(60_000);
    expect(late.state()).toBe('CONCURRENCY_LIMIT');
  });

  it('has a line of bounded length', async () => {
    const { take } = setUp();
    for (let index = 0; index < 4 + 256; index++) take();
    const last = take();
    await settled();
    expect(last.state()).toBe('QUEUE_FULL');
  });
});
