import { expect, it } from 'vitest';
import { createLogger, type LoggerOptions } from './logger.ts';

const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvcGVyYXRvciJ9.c2lnbmF0dXJlLXRoYXQtaXMtc2VjcmV0';

function logged(
  write: (log: ReturnType<typeof createLogger>) => void,
  options: Partial<LoggerOptions> = {},
): string {
  let text = '';
  write(
    createLogger({
      level: 'info',
      destination: { write: (line: string) => void (text += line) },
      ...options,
    }),
  );
  return text;
}

it('writes one JSON line with time, level, text and facts', () => {
  const line = logged((log) => log.info({ sandbox: 's1', ms: 4 }, 'sandbox started'));
  expect(line.endsWith('\n')).toBe(true);
  expect(JSON.parse(line)).toMatchObject({
    level: 'info',
    msg: 'sandbox started',
    sandbox: 's1',
    ms: 4,
    name: 'berth',
  });
  expect(JSON.parse(line).time).toMatch(/^\d{4}-\d\d-\d\dT/);
});

it('keeps an error’s cause for the operator', () => {
  const error = new Error('no sandbox', { cause: new Error('bwrap is missing') });
  expect(logged((log) => log.error({ error }, 'failed'))).toContain('bwrap is missing');
});

it.each([
  ['a field', { token: 'hunter2-hunter2' }, 'x'],
  ['a field one level down', { request: { secret: 'hunter2-hunter2' } }, 'x'],
  ['a header', { headers: { authorization: 'hunter2-hunter2' } }, 'x'],
  ['a header of a request', { request: { headers: { cookie: 'hunter2-hunter2' } } }, 'x'],
  ['a token in the text', {}, `refused ${token}`],
  ['a token in an error', { error: new Error(`bad ${token}`) }, 'x'],
  ['a bearer token that is no JWT', {}, 'sent Bearer hunter2-hunter2'],
  ['a password in a URL', { url: 'postgres://berth:hunter2-hunter2@db/berth' }, 'x'],
])('takes secrets out of %s', (_where, facts, text) => {
  for (const isPretty of [false, true]) {
    const line = logged((log) => log.warn(facts, text), { isPretty });
    expect(line).not.toContain('hunter2');
    expect(line).not.toContain('c2lnbmF0dXJl');
    expect(line).toMatch(/\[(secret|token)\]/);
    if (!isPretty) expect(() => JSON.parse(line)).not.toThrow();
  }
});

it('writes readable lines for a terminal, with the stack below', () => {
  const line = logged(
    (log) => log.error({ sandbox: 's1', why: 'two words', error: new Error('boom') }, 'it failed'),
    {
      isPretty: true,
    },
  );
  expect(line).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} error it failed sandbox=s1 why="two words"\n {4}Error: boom\n/,
  );
  expect(logged((log) => log.info('x'), { isPretty: true, hasColours: true })).toContain('\u001b[36minfo');
});

it('writes nothing below its level', () => {
  expect(logged((log) => log.debug('x'))).toBe('');
  expect(logged((log) => log.error('x'), { level: 'silent' })).toBe('');
});
