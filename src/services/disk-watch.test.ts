import { expect, it } from 'vitest';
import { volumeIdSchema } from '../contracts/ids.ts';
import type { VolumeSize } from '../drivers/driver.ts';
import { FakeClock } from '../kernel/testing/fake-clock.ts';
import { DiskWatch } from './disk-watch.ts';

const [first, second] = ['a', 'b'].map((letter) => volumeIdSchema.parse(`v${letter.repeat(20)}`)) as [
  VolumeSize['volume'],
  VolumeSize['volume'],
];

function watchOf(look: (clock: FakeClock) => Promise<readonly VolumeSize[]>): {
  readonly clock: FakeClock;
  readonly watch: DiskWatch;
  readonly warnings: string[];
} {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const warn = (_facts: object, text: string): void => void warnings.push(text);
  const log = { info: () => undefined, warn, error: () => undefined };
  const watch = new DiskWatch({ driver: { volumeSizes: () => look(clock) }, clock, log }, () => true);
  watch.open();
  return { clock, watch, warnings };
}

it('tells what it has seen last, each minute anew, until it is closed', async () => {
  const seen = [
    [{ volume: first, bytes: 5 }],
    [
      { volume: first, bytes: 7 },
      { volume: second, bytes: 2 },
    ],
  ];
  const { clock, watch } = watchOf(() => Promise.resolve(seen.shift() ?? []));
  expect([watch.of(first), watch.total]).toEqual([null, { all: 0, largest: 0 }]);
  await clock.advance(0);
  expect([watch.of(first), watch.of(second)]).toEqual([5, null]);
  await clock.advance(60_000);
  expect([watch.of(second), watch.total]).toEqual([2, { all: 9, largest: 7 }]);
  watch.close();
  expect(clock.waiting).toBe(0);
});

it('gives an engine that takes long its rest, and tells on what was seen when nothing can be', async () => {
  let looks = 0;
  const { clock, watch, warnings } = watchOf(async (time) => {
    looks += 1;
    await new Promise<void>((resolve) => void time.after(10_000, resolve));
    if (looks === 2) throw new Error('no engine');
    return [{ volume: first, bytes: 5 }];
  });
  await clock.advance(10_000);
  await clock.advance(199_000);
  expect(looks).toBe(1);
  await clock.advance(1_000 + 10_000);
  expect([looks, watch.of(first), warnings.length]).toEqual([2, 5, 1]);
  watch.close();
});
