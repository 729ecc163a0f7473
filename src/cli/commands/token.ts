/** `berth token …` */
import { type Register, addCommand, addGroup } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import { collect, seconds, textOrFile } from '../option-values.ts';

interface TokenOptions {
  readonly scope?: readonly string[];
  readonly function?: string;
  readonly expires?: number;
}

export const registerTokens: Register = (parent, program) => {
  const group = addGroup(parent, 'token', 'tokens of a tenant', ['tokens']);
  addCommand<TokenOptions>(
    group,
    program,
    {
      usage: 'create',
      says: 'issue a token; it is printed alone, so that it can go into a variable',
      options: (command) =>
        command
          .option('--scope <scope>', 'run (call functions) or manage (repeat) [run]', collect)
          .option('--function <fn>', 'only for this function')
          .option('--expires <time>', 'such as 90s, 15m, 12h, 30d; left out: never', seconds),
      examples: ['TOKEN=$(berth token create --function hello --expires 1h)'],
    },
    async (session, _args, { scope, function: fn, expires }) => {
      const token = await (
        await session.tenant()
      ).issueToken({
        scopes: scopesOf(scope ?? ['run']),
        ...(fn === undefined ? {} : { fn }),
        ...(expires === undefined ? {} : { expiresInSeconds: expires }),
      });
      session.output.result(token, token.token);
    },
  );
  addCommand<{ readonly platform?: boolean }>(
    group,
    program,
    {
      usage: 'revoke <token>',
      says: 'refuse a token from now on: itself, its id (jti), or @file',
      options: (command) =>
        command.option(
          '--platform',
          'one that the platform issued to whomever, also an operator’s (operator)',
        ),
    },
    async (session, [given], { platform }) => {
      const text = (await textOrFile(given!, session.io)).trim();
      const revoker = platform === true ? session.client : await session.tenant();
      await revoker.revokeToken(isWholeToken(text) ? { token: text } : { jti: text });
      session.output.result({ revoked: true }, 'The token is revoked.');
    },
  );
  addCommand(
    group,
    program,
    { usage: 'revoke-all', says: 'refuse every token of the tenant that was issued until now' },
    async (session) => {
      await (await session.tenant()).revokeAllTokens();
      session.output.result(
        { revoked: 'all' },
        `All tokens of ${await session.tenantId()} issued until now are revoked.`,
      );
    },
  );
};

/** Three parts are signed, five are encrypted (RFC 7515, 7516); an id of a tenant's own making may hold a dot. */
function isWholeToken(text: string): boolean {
  return [3, 5].includes(text.split('.').length);
}

function scopesOf(given: readonly string[]): ('manage' | 'run')[] {
  return given
    .flatMap((text) => text.split(','))
    .map((scope) => {
      if (scope === 'run' || scope === 'manage') return scope;
      throw new UsageError(`There is no scope "${scope}".`, 'Write run or manage.');
    });
}
