/** How every command is made: the same global options, one session, an exit code. */
import { Command } from 'commander';
import type { CliIo } from './cli-io.ts';
import { type GlobalOptions, Session } from './session.ts';

/** What commands share while the program runs. */
export interface Program {
  readonly io: CliIo;
  /** Set by the command that ran, when it is not 0. */
  exitCode: number;
}

/** Arguments as typed: a string, a list for `<x...>`, or nothing. */
export type Arguments = readonly (string | undefined)[];
/** @returns the exit code, nothing for 0 */
export type Action<Options> = (session: Session, args: Arguments, options: Options) => Promise<number | void>;

export interface CommandSpec {
  /** `show <fn>` */
  readonly usage: string;
  readonly says: string;
  readonly aliases?: readonly string[];
  readonly options?: (command: Command) => Command;
  /** Shown at the end of its help. */
  readonly examples?: readonly string[];
}

export type Register = (parent: Command, program: Program) => void;

export function addCommand<Options extends object>(
  parent: Command,
  program: Program,
  spec: CommandSpec,
  action: Action<Options>,
): Command {
  const command = parent
    .command(spec.usage)
    .description(spec.says)
    .aliases(spec.aliases ?? []);
  spec.options?.(command);
  addGlobalOptions(command);
  if (spec.examples !== undefined)
    command.addHelpText('after', `\nExamples:\n${spec.examples.map((example) => `  ${example}`).join('\n')}`);
  return command.action(async (...all: unknown[]) => {
    const options = command.optsWithGlobals<Options & GlobalOptions>();
    const session = new Session(program.io, options);
    program.exitCode = (await action(session, all.slice(0, -2) as Arguments, options)) ?? 0;
  });
}

export function addGlobalOptions(command: Command): Command {
  return command
    .option('--url <address>', 'address of the platform (BERTH_URL)')
    .option('--token <token>', 'token to send (BERTH_TOKEN)')
    .option('-t, --tenant <id>', 'tenant that it is about (BERTH_TENANT)')
    .option('--json', 'print JSON');
}

/** A command that only holds others. */
export function addGroup(
  parent: Command,
  name: string,
  says: string,
  aliases: readonly string[] = [],
): Command {
  return parent.command(name).description(says).aliases(aliases);
}
