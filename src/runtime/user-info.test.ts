import os from 'node:os';
import { expect, test } from 'vitest';
import { installUserInfo } from './user-info.ts';

function failing(info: object): { userInfo: typeof os.userInfo } {
  const userInfo = (): never => {
    throw Object.assign(new Error('A system error occurred'), { info });
  };
  const target = { userInfo: userInfo as unknown as typeof os.userInfo };
  installUserInfo(target);
  return target;
}

test('a user that /etc/passwd does not know has a name all the same, and its own numbers', () => {
  const { userInfo } = failing({ code: 'ENOENT', syscall: 'uv_os_get_passwd' });
  const numbers = { uid: process.getuid!(), gid: process.getgid!() };
  expect(userInfo()).toEqual({ ...numbers, username: 'sandbox', homedir: '/tmp', shell: '/nonexistent' });
  expect(userInfo({ encoding: 'buffer' }).username).toEqual(Buffer.from('sandbox'));
});

test('a user that it knows is told as it is, and another error stays one', () => {
  const target = { userInfo: os.userInfo };
  installUserInfo(target);
  expect(target.userInfo()).toEqual(os.userInfo());
  expect(() => failing({ code: 'EMFILE', syscall: 'uv_os_get_passwd' }).userInfo()).toThrow('system error');
});
