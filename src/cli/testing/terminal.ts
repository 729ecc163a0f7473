/** Runs the command in this process, on a home and a folder of its own, and keeps what it printed. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { runCli } from '../run-cli.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Piped in; left out: standard input is a terminal */
  readonly stdin?: string;
  readonly isTerminal?: boolean;
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  /** Called with everything printed so far. */
  readonly onOutput?: (text: string) => void;
}

export class Terminal {
  readonly folder = mkdtempSync(join(tmpdir(), 'berth-cli-'));
  readonly home = join(this.folder, 'home');
  env: Record<string, string> = {};

  /** Writes files below the working folder. */
  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true });
      writeFileSync(join(this.folder, name), text);
    }
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
    let stdout = '';
    let stderr = '';
    const sink = (add: (text: string) => void): Writable & { isTTY?: boolean } =>
      Object.assign(
        new Writable({
          write(chunk, _encoding, done) {
            add(String(chunk));
            options.onOutput?.(stdout);
            done();
          },
        }),
        options.isTerminal === true ? { isTTY: true } : {},
      );
    const stdin = Object.assign(Readable.from(options.stdin === undefined ? [] : [options.stdin]), {
      isTTY: options.stdin === undefined,
    });
    const io = {
      env: { ...this.env, ...options.env },
      cwd: options.cwd ?? this.folder,
      home: this.home,
      stdin,
      stdout: sink((text) => (stdout += text)),
      stderr: sink((text) => (stderr += text)),
      signal: options.signal ?? new AbortController().signal,
      now: () => 1_700_000_000_000,
    };
    return { code: await runCli(argv, io, '1.2.3'), stdout, stderr };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
