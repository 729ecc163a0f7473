/**
 * `os.userInfo()` reads /etc/passwd, which cannot name the user that each container has for itself (the driver `docker`); it would
 * throw, and with it the libraries that only want a name to show. There it answers what it answers in a jail, with the user's numbers.
 */
import os from 'node:os';

const entry = { username: 'sandbox', homedir: '/tmp', shell: '/nonexistent' } as const;

type UserInfo = typeof os.userInfo;

/** Names that were imported from `node:os` before do not change until `syncBuiltinESMExports`. */
export function installUserInfo(target: { userInfo: UserInfo } = os): void {
  const { userInfo } = target;
  target.userInfo = ((options: Parameters<UserInfo>[0] = {}) => {
    try {
      return userInfo(options);
    } catch (error) {
      if (!isUnknownUser(error)) throw error;
      const inBytes = (text: string): string | Buffer =>
        options.encoding === 'buffer' ? Buffer.from(text) : text;
      const texts = Object.entries(entry).map(([name, text]) => [name, inBytes(text)]);
      return { uid: process.getuid!(), gid: process.getgid!(), ...Object.fromEntries(texts) };
    }
  }) as UserInfo;
}

/** nodejs.org/api/os.html: "Throws a SystemError if a user has no username or homedir." */
function isUnknownUser(error: unknown): boolean {
  const { info } = Object(error) as { info?: { code?: unknown; syscall?: unknown } };
  return info?.code === 'ENOENT' && info.syscall === 'uv_os_get_passwd';
}
