/** `berth run`: calls a function and prints what it answers. */
import { once } from 'node:events';
import { ClientError } from '../../client/client-error.ts';
import { problemFrom, unreachable } from '../../client/transport.ts';
import { type Arguments, type Register, addCommand } from '../command.ts';
import { ExitCode, UsageError } from '../exit-code.ts';
import { collect, textOrFile } from '../option-values.ts';
import type { Session } from '../session.ts';

interface RunOptions {
  readonly request?: string;
  readonly data?: string;
  readonly header?: readonly string[];
  readonly include?: boolean;
}

const TOKEN_SECONDS = 300;

export const registerRun: Register = (parent, program) => {
  addCommand<RunOptions>(
    parent,
    program,
    {
      usage: 'run <fn> [path]',
      says: 'call a function and print its answer; the exit code follows the status',
      options: (command) =>
        command
          .option('-X, --request <method>', 'HTTP method [GET, POST with --data]')
          .option('-d, --data <text>', 'body; @file is a file, @- standard input')
          .option('-H, --header <name: value>', 'header (repeat)', collect)
          .option('-i, --include', 'print status and headers too'),
      examples: [
        "berth run hello '/greet?name=ann'",
        'berth run hello -d \'{"a":1}\' -H "content-type: application/json"',
      ],
    },
    run,
  );
};

async function run(session: Session, [fn, path]: Arguments, options: RunOptions): Promise<number> {
  const { client, io, output } = session;
  const tenant = await session.tenantId();
  const url = `${client.url}/run/${encodeURIComponent(tenant)}/${encodeURIComponent(fn!)}${suffix(path)}`;
  const headers = headersOf(options.header ?? []);
  const body = options.data === undefined ? undefined : await textOrFile(options.data, io);
  const method = options.request ?? (body === undefined ? 'GET' : 'POST');
  const token = headers.has('authorization') ? null : await tokenFor(session, fn!);
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  const response = await fetch(url, {
    method,
    headers,
    redirect: 'manual',
    signal: io.signal,
    ...(body === undefined ? {} : { body }),
  }).catch((error: unknown) => {
    throw io.signal.aborted ? error : unreachable(client.url, error);
  });
  // What the platform says about the call, not the function.
  if ((response.headers.get('content-type') ?? '').startsWith('application/problem+json')) {
    const problem = await problemFrom(response.clone(), client.url);
    if (problem.code !== 'NOT_BERTH') throw problem;
  }
  if (output.isJson) output.result(await asJson(response), '');
  else await print(session, response, options.include === true);
  return exitCodeFor(response.status);
}

/** The function gets a token of its own that can do nothing but call it: never the one that this command uses. */
async function tokenFor(session: Session, name: string): Promise<string | null> {
  if (session.target.token === null) return null;
  try {
    const tenant = await session.tenant();
    const { access } = await tenant.function(name).get();
    if (access === 'public') return null;
    const { token } = await tenant.issueToken({ scopes: ['run'], fn: name, expiresInSeconds: TOKEN_SECONDS });
    return token;
  } catch (error) {
    // A token that may only run functions cannot ask: then it is the one to send.
    if (error instanceof ClientError && error.code === 'FORBIDDEN') return session.target.token;
    throw error;
  }
}

async function print({ output }: Session, response: Response, withHead: boolean): Promise<void> {
  if (withHead) {
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\n`).join('');
    output.raw(Buffer.from(`HTTP/1.1 ${response.status} ${response.statusText}\n${headers}\n`));
  }
  for await (const chunk of response.body ?? []) if (!output.raw(chunk)) await once(output.stdout, 'drain');
}

async function asJson(response: Response): Promise<object> {
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  };
}

function suffix(path: string | undefined): string {
  if (path === undefined || path === '') return '';
  return path.startsWith('/') || path.startsWith('?') ? path : `/${path}`;
}

function headersOf(lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const line of lines) {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(line) ?? [];
    if (name === undefined) throw new UsageError(`"${line}" is no header.`, 'Write "name: value".');
    try {
      headers.append(name, value ?? '');
    } catch {
      throw new UsageError(
        `"${line}" is no valid header.`,
        'Write "name: value" without control characters.',
      );
    }
  }
  return headers;
}

function exitCodeFor(status: number): number {
  if (status < 400) return ExitCode.ok;
  if (status === 401 || status === 403) return ExitCode.auth;
  return status === 404 ? ExitCode.notFound : ExitCode.failure;
}
