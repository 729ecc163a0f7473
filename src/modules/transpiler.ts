/** esbuild for what Node cannot run as it is: JSX, and TypeScript that is more than JavaScript with types. */
import * as esbuild from 'esbuild';
import { BerthError } from '../contracts/errors.ts';
import type { SourceKind } from './source-kind.ts';

const WITHIN_MS = 20_000;
/** esbuild descends with up to some kilobytes of stack for one level: these two keep hostile text below a gigabyte. */
const MAX_CHARS = 512 * 1024;
const MAX_DEPTH = 2_000;
const TOO_DEEP = 'it is nested too deeply';

export interface Transpiled {
  readonly code: string;
  readonly sourceMap: Uint8Array;
}

export interface TranspileRequest {
  readonly text: string;
  readonly filename: string;
  readonly loader: SourceKind['loader'];
  /** Map of the text itself, which the new one is put in front of. */
  readonly sourceMap: Uint8Array | null;
  /** `cjs`: imports become `require`. Left out: they stay. */
  readonly format?: 'cjs';
}

/** @throws BerthError CODE_INVALID */
export async function transpile(request: TranspileRequest): Promise<Transpiled> {
  const { text, filename, loader, sourceMap, format } = request;
  checkBounds(text, filename);
  const job = esbuild.transform(sourceMap === null ? text : withInlineMap(text, sourceMap), {
    loader,
    ...(format === undefined ? {} : { format }),
    target: 'node24',
    platform: 'node',
    sourcefile: filename,
    sourcemap: 'external',
    sourcesContent: false,
    logLevel: 'silent',
  });
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('esbuild took too long')), WITHIN_MS);
  try {
    const { code, map } = await Promise.race([job, late]);
    return { code, sourceMap: Buffer.from(map) };
  } catch (error) {
    throw await failureOf(error, filename);
  } finally {
    clearTimeout(timer);
    job.catch(() => undefined);
  }
}

/** Ends esbuild's process; the next `transpile` starts one anew. */
export async function stopTranspiler(): Promise<void> {
  await esbuild.stop();
}

/** Brackets in strings count as well: they would have to be thousands, and never closed. */
function checkBounds(text: string, file: string): void {
  if (text.length > MAX_CHARS) {
    const reason = `JSX, and TypeScript that is more than types, are transpiled up to ${MAX_CHARS} characters; deploy the folder, then it is bundled`;
    throw invalid({ reason, file, line: 1, column: 1 }, null);
  }
  let depth = 0;
  for (const [bracket] of text.matchAll(/[([{}\])]/g)) {
    depth += bracket === '(' || bracket === '[' || bracket === '{' ? 1 : -1;
    if (depth > MAX_DEPTH) throw invalid({ reason: TOO_DEEP, file, line: 1, column: 1 }, null);
  }
}

async function failureOf(error: unknown, file: string): Promise<BerthError> {
  const first = (error as Partial<esbuild.TransformFailure>).errors?.[0];
  if (first === undefined) {
    // Its process is gone or hangs, on nesting without end for one.
    await stopTranspiler();
    return invalid({ reason: TOO_DEEP, file, line: 1, column: 1 }, error);
  }
  const { line = 1, column = 0 } = first.location ?? {};
  return invalid({ reason: first.text, file, line, column: column + 1 }, error);
}

function invalid(
  facts: { reason: string; file: string; line: number; column: number },
  cause: unknown,
): BerthError {
  return new BerthError('CODE_INVALID', facts, { cause });
}

function withInlineMap(text: string, sourceMap: Uint8Array): string {
  return `${text}\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(sourceMap).toString('base64')}`;
}
