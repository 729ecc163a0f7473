import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { loadConfig } from '../config/load-config.ts';
import { MasterKey } from '../store/master-key.ts';
import { encodeHandover, readHandover } from './handover.ts';

const key = Buffer.alloc(32, 7);
const { config } = loadConfig({
  argv: ['--port', '9000'],
  env: {
    BERTH_POOL_MIN_BLANK: '3',
    BERTH_MASTER_KEY: key.toString('base64url'),
    BERTH_ACCEPT_GAPS: 'own-uid',
  },
  readFile: () => '',
  cwd: '/srv',
});
const rest = { driver: 'jail', channelsDir: '/run/berth/channels', isRestart: true } as const;

it('the server gets the settings of the supervisor, and the key apart from them', async () => {
  const text = encodeHandover({ config, masterKey: new MasterKey(key), ...rest });
  const read = await readHandover(Readable.from([Buffer.from(text)]));
  expect(read.config).toEqual({ ...config, masterKey: null });
  expect(Buffer.from(read.masterKey.reveal())).toEqual(key);
  expect(read).toMatchObject(rest);
});

it.each<[what: string, text: string]>([
  ['nothing', ''],
  ['no JSON', 'x'],
  [
    'no key',
    encodeHandover({ config, masterKey: new MasterKey(key), ...rest }).replace(
      /"masterKey":"[^"]+"/,
      '"masterKey":"AAAA"',
    ),
  ],
  ['too much', ' '.repeat(2 ** 20 + 1)],
])('anything else is refused: %s', async (_what, text) => {
  await expect(readHandover(Readable.from([Buffer.from(text)]))).rejects.toThrow(/JSON|master key|too long/);
});
