/** What the command prints: data on stdout (text or JSON), everything else on stderr. */
import { stripVTControlCharacters, styleText } from 'node:util';
import { cleanText } from '../kernel/clean-text.ts';
import { ClientError } from '../client/client-error.ts';
import { ConfigError } from '../config/config-error.ts';
import type { CliIo } from './cli-io.ts';
import { UsageError, WorkError } from './exit-code.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
const MAX_CELL_BYTES = 4_096;
const MAX_LINE_BYTES = 64 * 1024;

export class Output {
  readonly isJson: boolean;
  readonly #io: CliIo;

  constructor(io: CliIo, isJson: boolean) {
    this.#io = io;
    this.isJson = isJson;
  }

  /** The result: `value` with --json, `text` otherwise. */
  result(value: unknown, text: string): void {
    this.#io.stdout.write(this.isJson ? `${JSON.stringify(value, null, 2)}\n` : endWithNewline(text));
  }

  /** One of many results that come one after the other: with --json one line each. */
  item(value: unknown, text: string): void {
    this.#io.stdout.write(this.isJson ? `${JSON.stringify(value)}\n` : endWithNewline(text));
  }

  /** Bytes of a function's answer, as they are. @returns false when the reader is slow: wait for `drain` */
  raw(bytes: Uint8Array): boolean {
    return this.#io.stdout.write(bytes);
  }

  get stdout(): CliIo['stdout'] {
    return this.#io.stdout;
  }

  /** For people only; on stderr. */
  note(text: string): void {
    if (!this.isJson) this.#io.stderr.write(endWithNewline(text));
  }

  /** Shows what goes on while `work` runs, on a terminal only. */
  async during<T>(text: string, work: Promise<T>): Promise<T> {
    const { stderr } = this.#io;
    if (stderr.isTTY !== true || this.isJson) return work;
    const started = this.#io.now();
    const show = (): void => {
      const seconds = Math.floor((this.#io.now() - started) / 1_000);
      stderr.write(`\r\u001b[K${text} …${seconds > 0 ? ` ${seconds} s` : ''}`);
    };
    show();
    const timer = setInterval(show, 1_000);
    try {
      return await work;
    } finally {
      clearInterval(timer);
      stderr.write('\r\u001b[K');
    }
  }

  style(style: Style | readonly Style[], text: string): string {
    return paint(this.#io, this.#io.stdout, style, text);
  }

  /** Rows as a table with a head; `none` when there are none. */
  table(head: readonly string[], rows: readonly (readonly string[])[], none: string): string {
    if (rows.length === 0) return none;
    const cells = rows.map((row) => row.map((cell) => cleanText(cell, MAX_CELL_BYTES).replaceAll('\n', ' ')));
    const widths = head.map((title, column) =>
      Math.max(title.length, ...cells.map((row) => stripVTControlCharacters(row[column] ?? '').length)),
    );
    const line = (row: readonly string[]): string =>
      row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join('  ');
    return [this.style('dim', line(head)), ...cells.map(line)].join('\n');
  }
}

/** Text of others for the terminal: no escapes. */
export function safe(text: string): string {
  return cleanText(text, MAX_LINE_BYTES);
}

export function printError(io: CliIo, error: unknown, isJson: boolean): void {
  const { message, wayOut, ...facts } = describeError(error);
  if (isJson) {
    io.stderr.write(`${JSON.stringify({ error: { message, wayOut, ...facts } })}\n`);
    return;
  }
  const head = paint(io, io.stderr, ['red', 'bold'], 'error:');
  io.stderr.write(`${head} ${safe(message)}\n${wayOut === '' ? '' : `  ${safe(wayOut)}\n`}`);
}

/** Where the platform's advice is for who writes HTTP, and the command has a better one. */
const commandWayOut: ReadonlyMap<string, string> = new Map([
  [
    'TOKEN_MISSING',
    'Give one with --token, BERTH_TOKEN or "berth login". On the platform\u2019s own machine, run this in its folder or set BERTH_DATA_DIR: then the operator\u2019s token is found.',
  ],
]);

interface ErrorView {
  readonly message: string;
  readonly wayOut: string;
  readonly [fact: string]: unknown;
}

function describeError(error: unknown): ErrorView {
  if (error instanceof ClientError) {
    const { message, code, status, facts } = error;
    return { ...facts, code, status, message, wayOut: commandWayOut.get(code) ?? error.wayOut };
  }
  if (error instanceof WorkError) return { ...error.facts, message: error.message, wayOut: error.wayOut };
  if (error instanceof UsageError) return { message: error.message, wayOut: error.wayOut };
  if (error instanceof ConfigError) return { message: error.message, wayOut: '', problems: error.problems };
  return {
    message: `${(error as Error | null)?.message ?? String(error)}`,
    wayOut: 'This is not expected; please report it with the command that you ran.',
  };
}

function paint(io: CliIo, stream: CliIo['stderr'], style: Style | readonly Style[], text: string): string {
  const { NO_COLOR: noColour } = io.env;
  if (stream.isTTY !== true || (noColour !== undefined && noColour !== '')) return text;
  return styleText(typeof style === 'string' ? style : [...style], text, { validateStream: false });
}

function endWithNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
