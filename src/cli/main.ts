/** The process behind `berth`: the real world around `runCli`. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { ExitCode } from './exit-code.ts';
import { runCli } from './run-cli.ts';

const interrupted = new AbortController();
let interrupts = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    interrupts++;
    interrupted.abort();
    // What does not end by itself ends now; a second Ctrl-C does not wait.
    if (interrupts > 1) process.exit(ExitCode.interrupted);
    setTimeout(() => process.exit(ExitCode.interrupted), 500).unref();
  });

// `berth logs | head`: the reader has seen enough.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? ExitCode.ok : ExitCode.failure);
  });

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
process.exitCode = await runCli(
  process.argv.slice(2),
  {
    env: process.env,
    cwd: process.cwd(),
    home: homedir(),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: interrupted.signal,
    now: () => Date.now(),
  },
  version,
);
// A piped standard input that nobody read, or a connection kept alive, must not hold the process.
process.stdin.unref?.();
