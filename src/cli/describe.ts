/** docs/cli.md, made from the commands themselves. */
import { Readable, Writable } from 'node:stream';
import type { Command } from 'commander';
import type { CliIo } from './cli-io.ts';
import { ExitCode, exitCodeMeanings } from './exit-code.ts';
import { createProgram } from './program.ts';

/** @returns docs/cli.md */
export function describeCli(): string {
  const root = createProgram({ io: nowhere(), exitCode: 0 }, '');
  const codes = Object.entries(exitCodeMeanings).map(
    ([name, says]) => `| ${ExitCode[name as keyof typeof ExitCode]} | ${says} |`,
  );
  return `# The \`berth\` command

In a clone of the repository: \`npx berth <command>\`. Every command takes the options of the first table.

${optionTable(root, false)}

**Address**: \`--url\`, \`BERTH_URL\`, the profile of \`berth login\`, then \`http://127.0.0.1:8787\`.

**Token**: \`--token\`, \`BERTH_TOKEN\`, the profile's if the address is its own, then \`admin-token\` in \`BERTH_DATA_DIR\` or
\`./data\` if the address is this machine.

**Tenant**: \`--tenant\`, \`BERTH_TENANT\`, the profile's, the token's own, or the only one that there is.

Results go to stdout, everything else to stderr. With \`--json\` results and errors are JSON. Colours are for terminals
only, and \`NO_COLOR\` turns them off.

## Exit codes

| code | says |
| --- | --- |
${codes.join('\n')}

${leavesOf(root).map(section).join('\n\n')}
`;
}

function leavesOf(command: Command): readonly Command[] {
  return command.commands.flatMap((child) => (child.commands.length === 0 ? [child] : leavesOf(child)));
}

function section(command: Command): string {
  const also = command.aliases().length === 0 ? '' : ` Also \`${command.aliases().join('`, `')}\`.`;
  const usage = [pathOf(command), ...argumentsOf(command)].join(' ');
  const options = optionTable(command, true);
  return [`## ${pathOf(command)}`, `\`${usage}\``, `${sentence(command.description())}${also}`, options]
    .filter((part) => part !== '')
    .join('\n\n');
}

function argumentsOf(command: Command): readonly string[] {
  return command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
}

const GLOBAL = new Set(['--url', '--token', '--tenant', '--json', '--version']);

function optionTable(command: Command, isOwn: boolean): string {
  const options = command.options.filter(
    ({ long }) => long !== '--version' && GLOBAL.has(long ?? '') !== isOwn,
  );
  if (options.length === 0) return '';
  const rows = options.map(
    ({ flags, description }) => `| \`${flags}\` | ${description.replaceAll('|', '\\|')} |`,
  );
  return ['| option | says |', '| --- | --- |', ...rows].join('\n');
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Describing touches nothing. */
function nowhere(): CliIo {
  const sink = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() });
  return {
    env: {},
    cwd: '/',
    home: '/',
    stdin: Readable.from([]),
    stdout: sink(),
    stderr: sink(),
    signal: new AbortController().signal,
    now: () => 0,
  };
}
