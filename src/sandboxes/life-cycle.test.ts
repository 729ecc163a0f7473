import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Life, type LifeEffect, type LifeEvent, stepLife } from './life-cycle.ts';

const born: Life = { state: 'starting', isCreated: false, isGreeted: false };
const claimed: LifeEvent = { type: 'claimed', key: 'k' };

/** Takes events one after the other. */
function live(...events: readonly LifeEvent[]): { life: Life; effects: LifeEffect[] } {
  let life = born;
  const effects: LifeEffect[] = [];
  for (const event of events) {
    const step = stepLife(life, event);
    life = step.life;
    effects.push(...step.effects);
  }
  return { life, effects };
}

const blank: LifeEvent[] = [{ type: 'created' }, { type: 'greeted' }];
const ready: LifeEvent[] = [...blank, claimed, { type: 'loaded' }];
const draining: LifeEvent[] = [...ready, { type: 'retired', isEmpty: false }];

describe('the life of a sandbox', () => {
  it.each([{ order: blank }, { order: blank.toReversed() }])(
    'is blank when it was created and has greeted, in any order',
    ({ order }) => {
      expect(live(...order)).toEqual({ life: { state: 'blank' }, effects: ['offer'] });
    },
  );

  it('is not offered before its limits are in force', () => {
    expect(live({ type: 'greeted' }, { type: 'greeted' }).effects).toEqual([]);
  });

  it('cannot be claimed while it starts', () => {
    expect(live(claimed)).toEqual({ life: born, effects: [] });
  });

  it('loads what claims it, then is ready', () => {
    expect(live(...blank, claimed).life).toEqual({ state: 'loading', key: 'k' });
    expect(live(...ready)).toEqual({ life: { state: 'ready', key: 'k' }, effects: ['offer', 'load'] });
  });

  it('is claimed once only', () => {
    const again: LifeEvent = { type: 'claimed', key: 'other' };
    expect(live(...blank, claimed, again, { type: 'loaded' }, again).life).toEqual({
      state: 'ready',
      key: 'k',
    });
  });

  it.each([
    { event: 'retired', isEmpty: true },
    { event: 'crashing' },
    { event: 'closed' },
    { event: 'exited' },
    { event: 'judged' },
  ])('goes at once when it is blank and $event', ({ event }) => {
    const step = live(...blank, { type: event, isEmpty: true } as LifeEvent);
    expect(step).toEqual({ life: { state: 'gone' }, effects: ['offer', 'withdraw', 'end'] });
  });

  it('goes when it is retired empty, and drains when it is not', () => {
    expect(live(...ready, { type: 'retired', isEmpty: true }).life).toEqual({ state: 'gone' });
    expect(live(...draining).life).toEqual({ state: 'draining', key: 'k', awaits: 'empty' });
    expect(live(...draining, { type: 'emptied' }).effects.slice(2)).toEqual(['withdraw', 'end']);
  });

  it('waits for the exit when its channel closes, to know why', () => {
    const closed = live(...ready, { type: 'closed' });
    expect(closed.life).toEqual({ state: 'draining', key: 'k', awaits: 'exit' });
    expect(closed.effects.slice(2)).toEqual(['withdraw', 'await-exit']);
    expect(live(...ready, { type: 'closed' }, { type: 'emptied' }).life.state).toBe('draining');
    expect(live(...ready, { type: 'closed' }, { type: 'exited' }).life.state).toBe('gone');
  });

  it('waits for the channel when its process exits, to hear its last words', () => {
    const exited = live(...ready, { type: 'exited' });
    expect(exited.life).toEqual({ state: 'draining', key: 'k', awaits: 'close' });
    expect(exited.effects.slice(2)).toEqual(['withdraw', 'await-close']);
    expect(live(...ready, { type: 'exited' }, { type: 'closed' }).life.state).toBe('gone');
  });

  it('asks where it spins before it is killed, and an exit settles it earlier', () => {
    const suspected = live(...ready, { type: 'suspected' });
    expect(suspected.effects.slice(2)).toEqual(['withdraw', 'locate']);
    expect(live(...ready, { type: 'suspected' }, { type: 'closed' }).life.state).toBe('draining');
    expect(live(...ready, { type: 'suspected' }, { type: 'exited' }).life.state).toBe('gone');
    expect(live(...ready, { type: 'suspected' }, { type: 'judged' }).life.state).toBe('gone');
  });

  it.each([
    { type: 'suspected', effect: 'locate' },
    { type: 'crashing', effect: 'await-exit' },
    { type: 'closed', effect: 'await-exit' },
    { type: 'exited', effect: 'await-close' },
  ] as const)('while it drains, $type leads to $effect', ({ type, effect }) => {
    expect(live(...draining, { type }).effects.at(-1)).toBe(effect);
  });

  const anyEvent: fc.Arbitrary<LifeEvent> = fc.oneof(
    fc.record({ type: fc.constant('claimed' as const), key: fc.string() }),
    fc.record({ type: fc.constant('retired' as const), isEmpty: fc.boolean() }),
    fc
      .constantFrom(
        'created',
        'greeted',
        'loaded',
        'emptied',
        'suspected',
        'crashing',
        'closed',
        'exited',
        'judged',
      )
      .map((type) => ({ type }) as LifeEvent),
  );

  it('whatever happens: loads once, ends once, is withdrawn once, never comes back', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        let life = born as Life;
        const effects: LifeEffect[] = [];
        for (const event of events) {
          const step = stepLife(life, event);
          if (life.state === 'gone') expect(step).toEqual({ life, effects: [] });
          if (life.state !== 'starting') expect(step.life.state).not.toBe('starting');
          if (life.state !== 'starting' && life.state !== 'blank') expect(step.life.state).not.toBe('blank');
          if ('key' in life && 'key' in step.life) expect(step.life.key).toBe(life.key);
          life = step.life;
          effects.push(...step.effects);
        }
        const times = (effect: LifeEffect): number => effects.filter((one) => one === effect).length;
        for (const effect of ['offer', 'load', 'withdraw', 'end'] as const)
          expect(times(effect)).toBeLessThanOrEqual(1);
        expect(times('end')).toBe(life.state === 'gone' ? 1 : 0);
      }),
      { numRuns: 2_000 },
    );
  });
});
