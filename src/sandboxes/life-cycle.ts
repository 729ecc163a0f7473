/**
 * The life of one sandbox as a table: state and event give the next state and what is to be done about it.
 * An event without a rule in a state changes nothing, so a sandbox is claimed at most once and never comes back from `gone`.
 */

/** What a draining sandbox waits for: its invocations, the other half of its end (exit and channel), or where it spins. */
export type Awaited = 'empty' | 'exit' | 'close' | 'place';

export type Life =
  | { readonly state: 'starting'; readonly isCreated: boolean; readonly isGreeted: boolean }
  | { readonly state: 'blank' }
  | { readonly state: 'loading'; readonly key: string }
  | { readonly state: 'ready'; readonly key: string }
  | { readonly state: 'draining'; readonly key: string; readonly awaits: Awaited }
  | { readonly state: 'gone' };

export type LifeEvent =
  /** the driver has every limit in force */
  | { readonly type: 'created' }
  /** the runtime said Hello */
  | { readonly type: 'greeted' }
  | { readonly type: 'claimed'; readonly key: string }
  | { readonly type: 'loaded' }
  /** takes no new work from here on */
  | { readonly type: 'retired'; readonly isEmpty: boolean }
  /** its last invocation has ended */
  | { readonly type: 'emptied' }
  /** it is to be killed for blocking; where it spins is asked first */
  | { readonly type: 'suspected' }
  /** the runtime said that an uncaught error ends the process */
  | { readonly type: 'crashing' }
  | { readonly type: 'closed' }
  | { readonly type: 'exited' }
  /** why it ends is settled */
  | { readonly type: 'judged' };

export type LifeEffect =
  /** give it to who waits, or to the pool */
  | 'offer'
  /** send the revision */
  | 'load'
  /** take it out of the pool, or out of its function's open ones */
  | 'withdraw'
  | 'await-exit'
  | 'await-close'
  | 'locate'
  /** fail what is open, then destroy */
  | 'end';

export interface Step {
  readonly life: Life;
  readonly effects: readonly LifeEffect[];
}

type In<State extends Life['state']> = Extract<Life, { state: State }>;
type Rule<State extends Life['state'], Type extends LifeEvent['type']> = (
  life: In<State>,
  event: Extract<LifeEvent, { type: Type }>,
) => Step;
type Rules = { [State in Life['state']]: { [Type in LifeEvent['type']]?: Rule<State, Type> } };

const gone: Life = { state: 'gone' };
const stay = (life: Life): Step => ({ life, effects: [] });
const end = (): Step => ({ life: gone, effects: ['end'] });
const leave = (): Step => ({ life: gone, effects: ['withdraw', 'end'] });
const drain = (key: string, awaits: Awaited, effects: readonly LifeEffect[]): Step => ({
  life: { state: 'draining', key, awaits },
  effects,
});
const offerWhenWhole = (life: In<'starting'>): Step =>
  life.isCreated && life.isGreeted ? { life: { state: 'blank' }, effects: ['offer'] } : stay(life);

const claimedRules = {
  retired: ({ key }: { key: string }, { isEmpty }: { isEmpty: boolean }) =>
    isEmpty ? leave() : drain(key, 'empty', ['withdraw']),
  suspected: ({ key }: { key: string }) => drain(key, 'place', ['withdraw', 'locate']),
  crashing: ({ key }: { key: string }) => drain(key, 'exit', ['withdraw', 'await-exit']),
  closed: ({ key }: { key: string }) => drain(key, 'exit', ['withdraw', 'await-exit']),
  exited: ({ key }: { key: string }) => drain(key, 'close', ['withdraw', 'await-close']),
  judged: leave,
};

const table: Rules = {
  starting: {
    created: (life) => offerWhenWhole({ ...life, isCreated: true }),
    greeted: (life) => offerWhenWhole({ ...life, isGreeted: true }),
    retired: end,
    crashing: end,
    closed: end,
    exited: end,
    judged: end,
  },
  blank: {
    claimed: (_, { key }) => ({ life: { state: 'loading', key }, effects: ['load'] }),
    retired: leave,
    crashing: leave,
    closed: leave,
    exited: leave,
    judged: leave,
  },
  loading: {
    ...claimedRules,
    loaded: ({ key }) => ({ life: { state: 'ready', key }, effects: [] }),
  },
  ready: claimedRules,
  draining: {
    emptied: (life) => (life.awaits === 'empty' ? end() : stay(life)),
    suspected: (life) => (life.awaits === 'empty' ? drain(life.key, 'place', ['locate']) : stay(life)),
    crashing: (life) => (life.awaits === 'empty' ? drain(life.key, 'exit', ['await-exit']) : stay(life)),
    closed: (life) => {
      if (life.awaits === 'close') return end();
      return life.awaits === 'empty' ? drain(life.key, 'exit', ['await-exit']) : stay(life);
    },
    exited: (life) => {
      if (life.awaits === 'exit' || life.awaits === 'place') return end();
      return life.awaits === 'empty' ? drain(life.key, 'close', ['await-close']) : stay(life);
    },
    judged: end,
  },
  gone: {},
};

/** Pure. @returns the same state and no effects when the event means nothing in it */
export function stepLife(life: Life, event: LifeEvent): Step {
  const rules = table[life.state] as Partial<
    Record<LifeEvent['type'], (life: Life, event: LifeEvent) => Step>
  >;
  return rules[event.type]?.(life, event) ?? stay(life);
}
