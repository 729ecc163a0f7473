import { describe, expect, it } from 'vitest';
import { FakeClock, settled } from '../kernel/testing/fake-clock.ts';
import { DeployTurns, type DeployTurnLimits, expectedBytes } from './deploy-turns.ts';

const never = new AbortController().signal;

interface Call {
  readonly state: () => string;
  readonly end: () => void;
}

function setUp(limits: Partial<DeployTurnLimits> = {}): {
  clock: FakeClock;
  take: (owner?: string, bytes?: number, signal?: AbortSignal) => Call;
} {
  const clock = new FakeClock();
  const turns = new DeployTurns(clock, limits);
  return {
    clock,
    take(owner = 'acme', bytes = 1, signal = never) {
      let state = 'waiting';
      let giveBack = (): void => undefined;
      turns.take({ owner, bytes, signal }).then(
        (end) => {
          state = 'running';
          giveBack = end;
        },
        (error: { code: string; facts: { name: string } }) => (state = `${error.code} ${error.facts.name}`),
      );
      return { state: () => state, end: () => giveBack() };
    },
  };
}

const states = (calls: readonly Call[]): string[] => calls.map(({ state }) => state());

describe('turns of deploys', () => {
  it('lets four of a tenant go on, the others in order, and does not mix tenants', async () => {
    const { take, clock } = setUp();
    const running = [take(), take(), take(), take()];
    const [fifth, sixth] = [take(), take()];
    const other = take('globex');
    await settled();
    expect(states([...running, other])).toEqual(Array(5).fill('running'));
    expect(states([fifth, sixth])).toEqual(['waiting', 'waiting']);
    running[2]!.end();
    running[2]!.end();
    await settled();
    expect(states([fifth, sixth])).toEqual(['running', 'waiting']);
    fifth.end();
    await settled();
    expect(sixth.state()).toBe('running');
    expect(clock.waiting).toBe(0);
  });

  it('passes over who has gone or waited too long', async () => {
    const { take, clock } = setUp({ atOnce: 1 });
    const first = take();
    const leaver = new AbortController();
    const gone = take('acme', 1, leaver.signal);
    await clock.advance(30_000);
    const patient = take();
    leaver.abort();
    await clock.advance(31_000);
    expect(states([gone, patient])).toEqual(['CONCURRENCY_LIMIT deployQueueMs', 'waiting']);
    first.end();
    await settled();
    expect(patient.state()).toBe('running');
    const late = take();
    await clock.advance(60_000);
    expect(late.state()).toBe('CONCURRENCY_LIMIT deployQueueMs');
    expect(take('acme', 1, AbortSignal.abort()).state()).toBe('waiting');
    await settled();
    expect(clock.waiting).toBe(0);
  });

  it('has a line of bounded length for each tenant', async () => {
    const { take } = setUp({ atOnce: 1, waiting: 2 });
    const calls = [take(), take(), take(), take(), take('globex')];
    await settled();
    expect(states(calls)).toEqual(['running', 'waiting', 'waiting', 'QUEUE_FULL deployQueue', 'running']);
  });

  it('holds no more bytes than allowed of all tenants, and a large one is not passed over', async () => {
    const { take } = setUp({ bytes: 100 });
    const [first, second] = [take('a', 60), take('b', 40)];
    const [large, small] = [take('c', 70), take('d', 10)];
    await settled();
    expect(states([first, second, large, small])).toEqual(['running', 'running', 'waiting', 'waiting']);
    second.end();
    await settled();
    expect(states([large, small])).toEqual(['waiting', 'waiting']);
    first.end();
    await settled();
    expect(states([large, small])).toEqual(['running', 'running']);
    large.end();
    small.end();
    const beyond = take('e', 1_000);
    await settled();
    expect(beyond.state()).toBe('running');
  });

  it('gives tenants turns where bytes are short, however many calls each has', async () => {
    const { take } = setUp({ bytes: 10 });
    const first = take('greedy', 10);
    const more = [take('greedy', 10), take('greedy', 10)];
    const other = take('other', 10);
    await settled();
    first.end();
    await settled();
    more[0]!.end();
    await settled();
    expect(states([other, more[1]!]).toSorted()).toEqual(['running', 'waiting']);
    expect(other.state()).toBe('running');
  });
});

it('a body is expected to have what it announces, and the most that is allowed when it says nothing', () => {
  expect(expectedBytes({ 'content-length': '7' }, 100)).toBe(7);
  expect(expectedBytes({ 'content-length': '700' }, 100)).toBe(100);
  expect(expectedBytes({ 'content-length': 'x' }, 100)).toBe(100);
  expect(expectedBytes({}, 100)).toBe(100);
});
