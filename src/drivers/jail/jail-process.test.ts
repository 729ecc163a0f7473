import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { readFirstPid } from './jail-process.ts';

test.each(['{"child-pid": 1 }\n', '{ no json }\n', '{}\n'])(
  'what is not bubblewrap’s information fails that start, not the platform: %j',
  async (text) => {
    const info = new PassThrough();
    const pid = readFirstPid(info);
    info.write(text);
    await expect(pid).rejects.toBeInstanceOf(Error);
    expect(info.destroyed).toBe(true);
  },
);

test('the pid is read from information in pieces', async () => {
  const info = new PassThrough();
  const pid = readFirstPid(info);
  info.write('{\n    "child-pid": 47');
  info.write('11\n}\n');
  expect(await pid).toBe(4_711);
});
