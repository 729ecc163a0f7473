/** `berth deploy` */
import { type Form, formSchema } from '../../contracts/forms.ts';
import { functionNameSchema } from '../../contracts/ids.ts';
import type { DeployAnswer } from '../../client/records.ts';
import { type Arguments, type Register, addCommand } from '../command.ts';
import { deploySource } from '../deploy-source.ts';
import { UsageError } from '../exit-code.ts';
import { collect, pairs } from '../option-values.ts';
import { safe } from '../output.ts';
import type { Session } from '../session.ts';
import { accessOf } from './function.ts';

interface DeployOptions {
  readonly name?: string;
  readonly form?: string;
  readonly private?: boolean;
  readonly public?: boolean;
  readonly bundle?: boolean;
  readonly secret?: readonly string[];
  readonly env?: readonly string[];
  readonly meta?: readonly string[];
}

export const registerDeploy: Register = (parent, program) => {
  addCommand<DeployOptions>(
    parent,
    program,
    {
      usage: 'deploy [path]',
      says: 'deploy a file, a folder (bundled with what is installed in it), or standard input (-)',
      options: (command) =>
        command
          .option('-n, --name <fn>', 'name of the function; left out: from the file, package.json or folder')
          .option('--form <form>', `how the code wants to be called: ${formSchema.options.join(', ')}`)
          .option('--private', 'callers need a token')
          .option('--public', 'everybody may call it')
          .option('--bundle', 'bundle a single file with what it imports')
          .option(
            '--secret <NAME=value>',
            'replace the secrets; NAME alone takes the variable (repeat)',
            collect,
          )
          .option('--env <NAME=value>', 'replace the variables (repeat)', collect)
          .option('--meta <NAME=value>', 'replace the metadata (repeat)', collect),
      examples: [
        'berth deploy hello.ts',
        'berth deploy ./shop --name shop --private --secret API_KEY=abc',
        'echo "export default () => new Response(\'hi\')" | berth deploy - --name hi',
      ],
    },
    deploy,
  );
};

async function deploy(session: Session, [path]: Arguments, options: DeployOptions): Promise<void> {
  const { io, output } = session;
  const access = accessOf(options);
  const form = formOf(options.form);
  const settings = given({
    access,
    form,
    env: pairs(options.env, io),
    meta: pairs(options.meta, io),
    secrets: pairs(options.secret, io),
  });
  const found = await deploySource({ path, isBundled: options.bundle === true, io, output });
  const { name: ownName, warnings, ...code } = found;
  const name = nameOf(options.name ?? ownName);
  for (const warning of warnings) output.note(`${output.style('yellow', 'warning:')} ${safe(warning)}`);
  const fn = (await session.tenant()).function(name);
  const answer = await output.during(`Deploying ${name}`, fn.deploy({ ...code, ...settings }, io.signal));
  for (const warning of answer.warnings) output.note(`${output.style('yellow', 'note:')} ${safe(warning)}`);
  output.result(answer, deployedText(session, answer));
}

function deployedText({ output }: Session, { function: fn, revision, url, form }: DeployAnswer): string {
  const access = fn.access === 'public' ? '' : ', callers need a token';
  return `${output.style('green', '✓')} ${fn.name} revision ${revision.number} (${form}, ${revision.language}${access})\n${output.style('bold', url)}`;
}

function formOf(text: string | undefined): Form | undefined {
  const parsed = formSchema.optional().safeParse(text);
  if (parsed.success) return parsed.data;
  throw new UsageError(`There is no form "${text}".`, `Write one of ${formSchema.options.join(', ')}.`);
}

function nameOf(name: string | null): string {
  if (name === null) throw new UsageError('The function has no name.', 'Give one with --name.');
  const parsed = functionNameSchema.safeParse(name);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    `"${name}" cannot be a name: ${parsed.error.issues[0]?.message}.`,
    'Give another one with --name.',
  );
}

/** Leaves out what is not given: the platform keeps it as it is. */
function given<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
