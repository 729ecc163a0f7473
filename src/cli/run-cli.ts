/** Runs the command once. */
import { CommanderError } from 'commander';
import type { CliIo } from './cli-io.ts';
import type { Program } from './command.ts';
import { ExitCode, UsageError, exitCodeOf } from './exit-code.ts';
import { printError } from './output.ts';
import { createProgram } from './program.ts';

/** @param argv without node and script. @returns the exit code; never throws */
export async function runCli(argv: readonly string[], io: CliIo, version: string): Promise<number> {
  const program: Program = { io, exitCode: ExitCode.ok };
  const isJson = argv.includes('--json');
  try {
    const root = createProgram(program, version);
    if (argv.length === 0) {
      io.stdout.write(root.helpInformation());
      return ExitCode.usage;
    }
    await root.parseAsync([...argv], { from: 'user' });
    return io.signal.aborted ? ExitCode.interrupted : program.exitCode;
  } catch (error) {
    if (io.signal.aborted) return ExitCode.interrupted;
    if (error instanceof CommanderError) return commanderEnded(error, io, isJson);
    printError(io, error, isJson);
    return exitCodeOf(error);
  }
}

/** Help and version end by an error too; they have printed what they had to. */
function commanderEnded(error: CommanderError, io: CliIo, isJson: boolean): number {
  if (error.exitCode === 0) return ExitCode.ok;
  if (error.code === 'commander.help') {
    printError(io, new UsageError('A command is missing.', 'See berth --help.'), isJson);
    return ExitCode.usage;
  }
  const [message = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const said = /[.?!]$/.test(message) ? message : `${message}.`;
  const hint = rest.join(' ').replace(/^\(|\)$/g, '');
  printError(
    io,
    new UsageError(said.charAt(0).toUpperCase() + said.slice(1), hint || 'See berth --help.'),
    isJson,
  );
  return ExitCode.usage;
}
