/** `berth key …`: keys with which a tenant's own back end makes tokens. */
import type { NewKey } from '../../client/client.ts';
import { type Register, addCommand, addGroup } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import { textOrFile } from '../option-values.ts';
import { safe } from '../output.ts';
import type { Session } from '../session.ts';
import { when } from '../views.ts';

interface KeyOptions {
  readonly id?: string;
  readonly secret?: string;
  readonly jwks?: string;
}

export const registerKeys: Register = (parent, program) => {
  const group = addGroup(parent, 'key', 'keys with which the tenant’s own back end makes tokens', ['keys']);
  addCommand(group, program, { usage: 'ls', says: 'list keys', aliases: ['list'] }, listKeys);
  addCommand<KeyOptions>(
    group,
    program,
    {
      usage: 'add <kind>',
      says: 'add a key: hs256 (signs), jwks (an address of public keys), jwe (encrypts)',
      options: (command) =>
        command
          .option('--id <id>', 'the kid of its tokens; left out: made by the platform')
          .option(
            '--secret <base64url>',
            'at least 32 bytes (jwe: exactly 32), or @file; left out: made and shown once',
          )
          .option('--jwks <address>', 'for jwks: where the public keys are'),
    },
    addKey,
  );
  addCommand<{ readonly platform?: boolean }>(
    group,
    program,
    {
      usage: 'rm <id>',
      says: 'revoke a key; its tokens are refused at once',
      aliases: ['delete'],
      options: (command) => command.option('--platform', 'a key of the platform itself (operator)'),
    },
    async (session, [id], { platform }) => {
      if (platform === true) await session.client.revokePlatformKey(id!);
      else await (await session.tenant()).revokeKey(id!);
      session.output.result({ revoked: id }, `Key ${id} is revoked.`);
    },
  );
  addCommand(
    group,
    program,
    { usage: 'rotate', says: 'make a new key of the platform itself (operator); old tokens stay good' },
    async ({ client, output }) => {
      const { id } = await client.rotatePlatformKey();
      output.result({ id }, `The platform signs with key ${id} from now on.`);
    },
  );
};

async function listKeys(session: Session): Promise<void> {
  const keys = await (await session.tenant()).keys();
  const rows = keys.map(({ id, kind, url, createdAt, revokedAt }) => [
    id,
    kind,
    revokedAt === null ? 'in use' : `revoked ${when(revokedAt)}`,
    when(createdAt),
    url ?? '',
  ]);
  session.output.result(
    keys,
    session.output.table(['key', 'kind', 'state', 'added', 'address'], rows, 'There is no key.'),
  );
}

async function addKey(
  session: Session,
  [kind]: readonly (string | undefined)[],
  options: KeyOptions,
): Promise<void> {
  const key = await (await session.tenant()).addKey(await newKey(session, kind!, options));
  const made = key.secret === undefined ? '' : `\nIts secret, shown only now:\n  ${safe(key.secret)}`;
  session.output.result(key, `Key ${key.id} (${key.kind}) is added.${made}`);
}

async function newKey({ io }: Session, kind: string, { id, secret, jwks }: KeyOptions): Promise<NewKey> {
  const named = id === undefined ? {} : { id };
  if (kind === 'jwks') {
    if (jwks === undefined) throw new UsageError('A jwks key needs its address.', 'Give --jwks <address>.');
    return { kind, url: jwks, ...named };
  }
  if (kind !== 'hs256' && kind !== 'jwe')
    throw new UsageError(`There is no kind of key "${kind}".`, 'Write hs256, jwks or jwe.');
  return {
    kind,
    ...named,
    ...(secret === undefined ? {} : { secret: (await textOrFile(secret, io)).trim() }),
  };
}
