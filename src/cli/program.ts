/** The `berth` command: all commands put together. */
import { Command } from 'commander';
import { type Program, type Register, addGlobalOptions } from './command.ts';
import { registerDeploy } from './commands/deploy.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerFunctions } from './commands/function.ts';
import { registerImages } from './commands/image.ts';
import { registerKeys } from './commands/key.ts';
import { registerLogs } from './commands/log.ts';
import { registerPlatform } from './commands/platform.ts';
import { registerRevisions } from './commands/revision.ts';
import { registerRun } from './commands/run.ts';
import { registerSecrets } from './commands/secret.ts';
import { registerServices } from './commands/service.ts';
import { registerTenants } from './commands/tenant.ts';
import { registerTokens } from './commands/token.ts';

const all: readonly Register[] = [
  registerTenants,
  registerDeploy,
  registerFunctions,
  registerRun,
  registerLogs,
  registerRevisions,
  registerSecrets,
  registerServices,
  registerKeys,
  registerTokens,
  registerPlatform,
  registerDoctor,
  registerImages,
];

/** Throws CommanderError in place of ending the process; errors are printed by who runs it. */
export function createProgram(program: Program, version: string): Command {
  const { stdout } = program.io;
  const root = new Command('berth')
    .description(
      'Runs your users’ code: deploys functions to a Berth platform, calls them, reads their logs.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: () => {},
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      getOutHelpWidth: () => stdout.columns ?? 100,
    });
  addGlobalOptions(root);
  for (const register of all) register(root, program);
  return root;
}
