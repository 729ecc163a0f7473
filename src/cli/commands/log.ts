/** `berth logs` */
import type { LogClient, LogSelection } from '../../client/log-client.ts';
import type { LogLine } from '../../client/records.ts';
import { type Arguments, type Register, addCommand } from '../command.ts';
import { count, moment } from '../option-values.ts';
import { type Style, safe } from '../output.ts';
import type { Session } from '../session.ts';

interface LogOptions {
  readonly follow?: boolean;
  readonly since?: string;
  readonly lines?: number;
  readonly invocation?: string;
}

const COLOURS: Readonly<Record<LogLine['level'], Style>> = {
  debug: 'dim',
  info: 'cyan',
  warn: 'yellow',
  error: 'red',
};
const DEFAULT_LINES = 50;
const MAX_LINES = 1_000;

export const registerLogs: Register = (parent, program) => {
  addCommand<LogOptions>(
    parent,
    program,
    {
      usage: 'logs [fn]',
      says: 'print what functions logged, oldest first; -f goes on with what comes',
      options: (command) =>
        command
          .option('-f, --follow', 'go on until Ctrl-C')
          .option('--since <time>', 'from 10m ago, or a date such as 2026-01-31T12:00:00Z')
          .option('-n, --lines <number>', `at most so many of the past [${DEFAULT_LINES}]`, count)
          .option('--invocation <id>', 'of one invocation'),
    },
    logs,
  );
};

async function logs(session: Session, [fn]: Arguments, options: LogOptions): Promise<void> {
  const tenant = await session.tenant();
  const selection: LogSelection = {
    ...(fn === undefined ? {} : { function: fn }),
    ...(options.invocation === undefined ? {} : { invocation: options.invocation }),
    ...(options.since === undefined ? {} : { since: moment(options.since, session.io.now()) }),
    limit: Math.min(options.lines ?? DEFAULT_LINES, MAX_LINES),
  };
  const show = (line: LogLine): void => session.output.item(line, lineText(session, line, fn === undefined));
  if (options.follow === true) await follow(session, { logs: tenant.logs, selection, show });
  else for (const line of (await tenant.logs.history(selection)).toReversed()) show(line);
}

interface Following {
  readonly logs: LogClient;
  readonly selection: LogSelection;
  readonly show: (line: LogLine) => void;
}

/** The live stream is open before the past is read, so that no line is lost; what comes in both is shown once. */
async function follow({ io, output }: Session, { logs, selection, show }: Following): Promise<void> {
  const opened = Promise.withResolvers<void>();
  const { function: fn, invocation } = selection;
  const live = logs.follow(fn === undefined ? {} : { function: fn }, {
    signal: io.signal,
    onOpen: opened.resolve,
  });
  const first = live.next();
  await Promise.race([opened.promise, first]);
  first.catch(() => {}); // told below, after the past
  const past = (await logs.history(selection)).toReversed();
  past.forEach(show);
  output.note(output.style('dim', 'Waiting for lines; Ctrl-C ends.'));
  const shown = new Set(past.map(keyOf));
  for (let next = await first; next.done !== true; next = await live.next()) {
    const isShown = shown.delete(keyOf(next.value));
    const isAsked = invocation === undefined || next.value.invocation === invocation;
    if (isAsked && !isShown) show(next.value);
  }
}

function keyOf({ at, invocation, source, text }: LogLine): string {
  return JSON.stringify([at, invocation, source, text]);
}

function lineText({ output }: Session, line: LogLine, withFunction: boolean): string {
  const time = new Date(line.at).toISOString().slice(11, 23);
  const head = [
    output.style('dim', time),
    ...(withFunction ? [output.style('bold', line.function)] : []),
    ...(line.source === 'platform' ? [output.style('dim', '[platform]')] : []),
    output.style(COLOURS[line.level], line.level.padEnd(5)),
  ].join(' ');
  return `${head} ${safe(line.text).replace(/\n+$/, '').replaceAll('\n', '\n    ')}`;
}
