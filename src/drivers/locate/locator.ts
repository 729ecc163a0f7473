/** Runs the inspector helper and reads what it found; everything it prints is hostile. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { StackFrame } from '../driver.ts';
import { coverStrays } from '../stray-descriptors.ts';

/** Time for everything: the inspector starts, the helper connects, the main thread pauses. */
export const LOCATE_MS = 2_000;
export const MAX_HELPER_OUTPUT_BYTES = 256 * 1024;
const MAX_FRAMES = 50;
/** Code made by eval or new Function has no file. */
const ANONYMOUS = '<anonymous>';

const framesSchema = z
  .array(
    z.object({
      functionName: z.string().max(512),
      file: z.string().max(512),
      line: z.int().min(1),
      column: z.int().min(1),
    }),
  )
  .max(MAX_FRAMES);

export interface HelperCommand {
  /** Program and arguments that start Node where the sandbox's loopback is; the helper's own are added. */
  readonly command: readonly [string, ...string[]];
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
  readonly uid: number | null;
  /** Frames of this file are ours, not the tenant's. */
  readonly runtimeFile: string;
}

const helperText = readFileSync(join(import.meta.dirname, 'inspector-helper.cjs'), 'utf8');

/** @returns the tenant's frames, innermost first; [] when they cannot be had in time */
export async function locateFrames(helper: HelperCommand): Promise<readonly StackFrame[]> {
  return framesOf(await runHelper(helper), helper.runtimeFile);
}

/** Arguments of the Node that runs the helper. */
export function helperArguments(port: number, runtimeFile: string): string[] {
  return ['-e', helperText, String(port), String(LOCATE_MS - 200), runtimeFile];
}

/** @param output what the helper printed @param runtimeFile frames of this file are ours */
export function framesOf(output: string, runtimeFile: string): readonly StackFrame[] {
  const parsed = framesSchema.safeParse(parseJson(output));
  if (!parsed.success) return [];
  return parsed.data
    .map((frame) => ({ ...frame, file: frame.file.replace(/^file:\/\//, '') || ANONYMOUS }))
    .filter(({ file }) => !file.startsWith('node:') && file !== runtimeFile);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function runHelper({ command, port, env, uid, runtimeFile }: HelperCommand): Promise<string> {
  const [program, ...first] = command;
  const own = uid === null ? {} : { uid, gid: uid };
  const child = spawn(program, [...first, ...helperArguments(port, runtimeFile)], {
    ...own,
    env,
    cwd: '/',
    stdio: coverStrays(['ignore', 'pipe', 'ignore']),
    timeout: LOCATE_MS,
    killSignal: 'SIGKILL',
  });
  return new Promise((resolve) => {
    let output = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
      if (output.length > MAX_HELPER_OUTPUT_BYTES) child.kill('SIGKILL');
    });
    // No helper, no place: the caller's error then comes without the line.
    child.once('error', () => resolve(''));
    child.once('close', () => resolve(output));
  });
}
