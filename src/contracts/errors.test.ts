import { expect, it } from 'vitest';
import { BerthError, problemOf } from './errors.ts';

it('a fact that ends a sentence takes no second full stop', () => {
  const { message } = new BerthError('LOAD_FAILED', { reason: 'Error: no module. Deploy the folder.' });
  expect(message).toBe('The code does not load: Error: no module. Deploy the folder.');
});

it('a fact that ends none takes the one of the text', () => {
  expect(new BerthError('LOAD_FAILED', { reason: 'Error: x' }).message).toBe(
    'The code does not load: Error: x.',
  );
});

it('a loop is told with its place, or without when it is not known', () => {
  const text = (facts: Record<string, string>) =>
    new BerthError('EVENT_LOOP_BLOCKED', { name: 'blockedMs', limit: 2000, ...facts }).message;
  expect(text({ place: ' at a.js:1:2' })).toMatch(/\(2000 ms\) at a\.js:1:2\.$/);
  expect(text({})).toMatch(/\(2000 ms\)\.$/);
});

it('the way out is filled from the facts as well', () => {
  const problem = problemOf(new BerthError('ISOLATION_GAP', { gaps: 'seccomp', driver: 'jail' }));
  expect(problem.wayOut).toMatch(/acceptGaps=seccomp\.$/);
});
