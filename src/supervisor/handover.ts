/** What the supervisor tells a server at its start, as one JSON document on its standard input: settings and master key. */
import type { Readable } from 'node:stream';
import { z } from 'zod';
import { loadConfig } from '../config/load-config.ts';
import type { Config } from '../config/settings.ts';
import { driverNames, type DriverName } from '../drivers/driver.ts';
import { MASTER_KEY_BYTES, MasterKey } from '../store/master-key.ts';

const MAX_HANDOVER_BYTES = 1024 * 1024;

export interface Handover {
  /** Without the master key, which stands apart, and its file, which the server cannot read. */
  readonly config: Config;
  readonly masterKey: MasterKey;
  /** Which driver the supervisor has; the server speaks to it through the driver `remote`. */
  readonly driver: DriverName;
  /** Where the server makes the directories of sandboxes' channels. */
  readonly channelsDir: string;
  /** A server before this one ended; the operator has seen how to begin. */
  readonly isRestart: boolean;
}

const handoverSchema = z.strictObject({
  config: z.record(z.string(), z.unknown()),
  masterKey: z
    .base64url()
    .refine((text) => Buffer.from(text, 'base64url').length === MASTER_KEY_BYTES, 'is no master key'),
  driver: z.enum(driverNames),
  channelsDir: z.string().min(1),
  isRestart: z.boolean(),
});

export function encodeHandover({ config, masterKey, ...rest }: Handover): string {
  const { masterKey: _key, masterKeyFile: _file, ...settings } = config;
  const key = Buffer.from(masterKey.reveal()).toString('base64url');
  return JSON.stringify({ ...rest, config: settings, masterKey: key });
}

/** The settings are read as a configuration file is: one place knows what they may be. @throws Error when it is not one */
export async function readHandover(input: Readable): Promise<Handover> {
  const { config, masterKey, ...rest } = handoverSchema.parse(JSON.parse(await readAll(input)));
  const loaded = loadConfig({
    argv: ['--config', 'handover'],
    env: {},
    readFile: () => JSON.stringify(config),
    cwd: '/',
  });
  return { ...rest, config: loaded.config, masterKey: new MasterKey(Buffer.from(masterKey, 'base64url')) };
}

async function readAll(input: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_HANDOVER_BYTES) throw new RangeError('the handover is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
