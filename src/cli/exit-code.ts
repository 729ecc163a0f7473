/** How the command ends: the exit codes, and errors that are the user's to mend. */
import { CommanderError } from 'commander';
import { ClientError } from '../client/client-error.ts';
import { ConfigError } from '../config/config-error.ts';

export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  auth: 4,
  unreachable: 5,
  warning: 6,
  /** 128 and the number of SIGINT, as shells have it */
  interrupted: 130,
} as const;

export const exitCodeMeanings: Readonly<Record<keyof typeof ExitCode, string>> = {
  ok: 'done',
  failure: 'it failed; the message says why',
  usage: 'the command line or the configuration is wrong',
  notFound: 'there is no such tenant, function, revision, …',
  auth: 'the token is missing, not valid, or does not allow it',
  unreachable: 'the platform cannot be reached, or something else answered',
  warning: 'berth doctor: the platform runs here, but something should be changed',
  interrupted: 'Ctrl-C',
};

/** The command line asks for something that cannot be; nothing was done. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly wayOut: string;

  constructor(message: string, wayOut: string) {
    super(message);
    this.wayOut = wayOut;
  }
}

/** The work failed on this side: a file, a bundle. */
export class WorkError extends Error {
  override readonly name = 'WorkError';
  readonly wayOut: string;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(message: string, wayOut: string, facts: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.wayOut = wayOut;
    this.facts = facts;
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (error instanceof UsageError || error instanceof ConfigError) return ExitCode.usage;
  return error instanceof ClientError ? clientExitCode(error) : ExitCode.failure;
}

function clientExitCode({ code, status }: ClientError): number {
  if (code === 'UNREACHABLE' || code === 'NOT_BERTH') return ExitCode.unreachable;
  if (status === 401 || status === 403) return ExitCode.auth;
  return status === 404 ? ExitCode.notFound : ExitCode.failure;
}
