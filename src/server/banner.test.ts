import { expect, it } from 'vitest';
import { banner } from './banner.ts';

const facts = {
  url: 'http://127.0.0.1:8787',
  driver: 'jail',
  newToken: null,
  tokenFile: 'data/admin-token',
  gaps: [],
  isUnused: true,
  isTerminal: false,
};

it('the first start shows the token and three commands, for this address', () => {
  const text = banner({ ...facts, url: 'http://127.0.0.1:9000', newToken: 'secret' });
  expect(text).toContain('\n  secret\n');
  expect(text.match(/^ {2}(?:npx|echo|curl) .*9000/gm)).toHaveLength(3);
});

it('where there is a tenant no commands are shown that would make one of the same name', () => {
  const text = banner({ ...facts, isUnused: false });
  expect(text).toContain('data/admin-token');
  expect(text).not.toMatch(/npx|curl|Try/);
});
