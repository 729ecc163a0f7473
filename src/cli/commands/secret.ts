/** `berth secret …` */
import { type Register, addCommand, addGroup } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import { readStdin } from '../option-values.ts';
import { counted } from '../views.ts';
import type { Session } from '../session.ts';

export const registerSecrets: Register = (parent, program) => {
  const group = addGroup(parent, 'secret', 'secrets of a function; values are never shown', ['secrets']);
  addCommand(
    group,
    program,
    { usage: 'ls <fn>', says: 'list names', aliases: ['list'] },
    async (session, [fn]) => {
      const names = await (await session.tenant()).function(fn!).secretNames();
      session.output.result(names, names.length === 0 ? 'There is no secret.' : names.join('\n'));
    },
  );
  addCommand(
    group,
    program,
    {
      usage: 'set <fn> <pairs...>',
      says: 'set NAME=value; NAME alone takes the variable of that name, or standard input',
      examples: ['berth secret set hello API_KEY=abc', 'pass show api-key | berth secret set hello API_KEY'],
    },
    async (session, [fn, given]) => {
      const client = (await session.tenant()).function(fn!);
      const secrets = await secretsFrom(session, given as unknown as readonly string[]);
      for (const [name, value] of secrets) await client.setSecret(name, value);
      const names = secrets.map(([name]) => name);
      session.output.result(
        { set: names },
        `${counted(names.length, 'secret')} of ${fn} set: ${names.join(', ')}`,
      );
    },
  );
  addCommand(
    group,
    program,
    { usage: 'rm <fn> <name>', says: 'delete one', aliases: ['delete'] },
    async (session, [fn, name]) => {
      await (await session.tenant()).function(fn!).deleteSecret(name!);
      session.output.result({ deleted: name }, `Secret ${name} of ${fn} is deleted.`);
    },
  );
};

async function secretsFrom(
  { io }: Session,
  given: readonly string[],
): Promise<[name: string, value: string][]> {
  const secrets: [string, string][] = [];
  let hasReadStdin = false;
  for (const text of given) {
    const equals = text.indexOf('=');
    const name = equals === -1 ? text : text.slice(0, equals);
    let value = equals === -1 ? io.env[text] : text.slice(equals + 1);
    if (value === undefined && io.stdin.isTTY !== true && !hasReadStdin) {
      hasReadStdin = true;
      value = (await readStdin(io)).replace(/\r?\n$/, '');
    }
    if (name === '' || value === undefined || value === '')
      throw new UsageError(
        `There is no value for the secret "${name}".`,
        'Write NAME=value, set the variable NAME, or send the value on standard input.',
      );
    secrets.push([name, value]);
  }
  return secrets;
}
