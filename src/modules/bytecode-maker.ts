/**
 * Makes bytecode: V8's code cache of a script, so that a sandbox does not compile it anew. Each in a process of its own,
 * which has no descriptor and no environment of the server's and ends with it: a text that takes over V8's compiler finds no other
 * tenant's in its memory. Its user is the server's (docs/threat-model.md).
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { platformLimits } from '../contracts/limits.ts';
import type { Bytecode } from '../contracts/model.ts';
import { FairTurns } from '../kernel/fair-turns.ts';
import { nodeFlags } from '../kernel/node-flags.ts';
import { scriptText } from '../kernel/script-text.ts';
import { ownTarget } from './bytecode-target.ts';

const WITHIN_MS = 10_000;
/** Five megabytes of an ordinary bundle take a hundred in all; a text of nothing but functions, as large as it may be, 700. */
const HEAP_MB = 256;
const helperText = readFileSync(path.join(import.meta.dirname, 'bytecode-helper.cjs'), 'utf8');
const MAX_BYTES = platformLimits.bytecodeBytes.value;

export class BytecodeMaker {
  readonly #turns = new FairTurns();
  #isClosed = false;

  /**
   * One at a time; owners take turns.
   * @param code of a script that gains by it @returns null when V8 does not manage within the bounds: sandboxes compile it then
   */
  make(owner: string, code: Uint8Array): Promise<Bytecode | null> {
    return this.#turns.run(owner, async () => {
      if (this.#isClosed) return null;
      const bytes = await compile(scriptText(code));
      return bytes === null ? null : { target: ownTarget, bytes };
    });
  }

  /** What runs is let finish. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#turns.run('', () => Promise.resolve());
  }
}

/** Everything that the process prints is hostile; it only ever gets to the tenant who sent the text. */
function compile(text: string): Promise<Uint8Array | null> {
  const child = spawn(process.execPath, [...nodeFlags(HEAP_MB), '-e', helperText], {
    env: {},
    cwd: '/',
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: WITHIN_MS,
    killSignal: 'SIGKILL',
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) child.kill('SIGKILL');
    else chunks.push(chunk);
  });
  // It may end before it has read everything; how it ended tells.
  child.stdin.on('error', () => undefined).end(text);
  return new Promise((resolve) => {
    child.once('error', () => resolve(null));
    child.once('close', (code) => resolve(code === 0 && bytes > 0 ? Buffer.concat(chunks) : null));
  });
}
