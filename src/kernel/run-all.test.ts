import { expect, it } from 'vitest';
import { runAll } from './run-all.ts';

it('takes every step in order, and says then what failed', async () => {
  const taken: string[] = [];
  const fail = (text: string) => () => {
    taken.push(text);
    throw new Error(text);
  };
  await runAll([() => taken.push('a'), async () => taken.push('b')]);
  await expect(
    runAll([fail('c'), async () => taken.push('d'), () => Promise.resolve(taken.push('e'))]),
  ).rejects.toThrow(/^c$/);
  await expect(runAll([fail('f'), () => Promise.reject(new Error('g'))])).rejects.toMatchObject({
    errors: [{ message: 'f' }, { message: 'g' }],
  });
  expect(taken).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
});
