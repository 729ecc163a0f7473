/** `berth ls`, `show`, `set`, `rm` */
import type { DeployedFunction, RevisionRecord } from '../../client/records.ts';
import { type Arguments, type Register, addCommand } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import { collect, pairs } from '../option-values.ts';
import { safe } from '../output.ts';
import type { Session } from '../session.ts';
import { fields, sizeOf, when } from '../views.ts';

interface SetOptions {
  readonly private?: boolean;
  readonly public?: boolean;
  readonly env?: readonly string[];
  readonly meta?: readonly string[];
}

export const registerFunctions: Register = (parent, program) => {
  addCommand(parent, program, { usage: 'ls', says: 'list functions', aliases: ['list'] }, listFunctions);
  addCommand(
    parent,
    program,
    { usage: 'show <fn>', says: 'show a function and its active revision' },
    showFunction,
  );
  addCommand<SetOptions>(
    parent,
    program,
    {
      usage: 'set <fn>',
      says: 'change who may call a function, its environment or its metadata',
      options: (command) =>
        command
          .option('--private', 'callers need a token')
          .option('--public', 'everybody may call it')
          .option('--env <NAME=value>', 'replace the variables (repeat)', collect)
          .option('--meta <NAME=value>', 'replace the metadata (repeat)', collect),
    },
    setFunction,
  );
  addCommand(
    parent,
    program,
    { usage: 'rm <fn>', says: 'delete a function with its revisions and secrets', aliases: ['delete'] },
    async (session, [name]) => {
      await (await session.tenant()).function(name!).delete();
      session.output.result({ deleted: name }, `Function ${name} is deleted.`);
    },
  );
};

async function listFunctions(session: Session): Promise<void> {
  const tenant = await session.tenant();
  const functions: DeployedFunction[] = [];
  for await (const fn of tenant.functions()) functions.push(fn);
  const rows = functions.map(({ name, access, updatedAt, url }) => [name, access, when(updatedAt), url]);
  const none = 'There is no function. Deploy one: berth deploy <file>';
  session.output.result(
    functions,
    session.output.table(['function', 'access', 'changed', 'address'], rows, none),
  );
}

async function showFunction(session: Session, [name]: Arguments): Promise<void> {
  const fn = (await session.tenant()).function(name!);
  const record = await fn.get();
  const revision = record.activeRevision === null ? null : await fn.revision(record.activeRevision);
  session.output.result({ ...record, revision }, functionText(session, record, revision));
}

async function setFunction(session: Session, [name]: Arguments, options: SetOptions): Promise<void> {
  const access = accessOf(options);
  const env = pairs(options.env, session.io);
  const meta = pairs(options.meta, session.io);
  if (access === undefined && env === undefined && meta === undefined)
    throw new UsageError('Nothing is to be changed.', 'Give --private, --public, --env or --meta.');
  const changed = await (await session.tenant()).function(name!).update({
    ...(access === undefined ? {} : { access }),
    ...(env === undefined ? {} : { env }),
    ...(meta === undefined ? {} : { meta }),
  });
  session.output.result(changed, functionText(session, changed, null));
}

export function accessOf(options: Pick<SetOptions, 'private' | 'public'>): 'public' | 'token' | undefined {
  if (options.private === true && options.public === true)
    throw new UsageError('--private and --public exclude each other.', 'Give one of them.');
  if (options.private === true) return 'token';
  return options.public === true ? 'public' : undefined;
}

function functionText({ output }: Session, fn: DeployedFunction, revision: RevisionRecord | null): string {
  const named = (group: Readonly<Record<string, string>>, title: string): [string, string][] =>
    Object.entries(group).map(([name, value]) => [title, safe(`${name}=${value}`)]);
  return fields(output, [
    ['function', fn.name],
    ['tenant', fn.tenant],
    ['address', fn.url],
    ['access', fn.access === 'public' ? 'public' : 'callers need a token'],
    ['revision', fn.activeRevision ?? 'none'],
    ...(revision === null ? [] : revisionFields(revision)),
    ...named(fn.env, 'env'),
    ...named(fn.meta, 'meta'),
    ['changed', when(fn.updatedAt)],
  ]);
}

function revisionFields(revision: RevisionRecord): [string, string][] {
  const { number, form, isFormFixed, moduleKind, language, filename, sourceBytes } = revision;
  return [
    ['  number', String(number)],
    ['  form', `${form}${isFormFixed ? ' (set by hand)' : ''}`],
    ['  code', `${language}, ${moduleKind}, ${safe(filename)}, ${sizeOf(sourceBytes)}`],
  ];
}
