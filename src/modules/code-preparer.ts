/** The preparer: language and module kind, syntax, form, and code that a sandbox runs as it is. */
import { BerthError } from '../contracts/errors.ts';
import { limitDefinitions } from '../contracts/limits.ts';
import type { Bytecode } from '../contracts/model.ts';
import { Analyser } from './analyser.ts';
import type { Analysis } from './analysis.ts';
import { BytecodeMaker } from './bytecode-maker.ts';
import type { DeploySource, Prepared, Preparer } from './preparer.ts';
import { kindOf, type SourceKind } from './source-kind.ts';
import { slimSourceMap } from './source-map.ts';
import { stopTranspiler, transpile } from './transpiler.ts';

type Fine = Extract<Analysis, { kind: 'fine' }>;

export interface PreparerOptions {
  /** Bytes of source that are looked at; the caller applies the tenant's own limit. */
  readonly maxSourceBytes?: number;
}

export function createPreparer(options: PreparerOptions = {}): Preparer {
  return new CodePreparer(options.maxSourceBytes ?? limitDefinitions.codeBytes.ceiling);
}

class CodePreparer implements Preparer {
  readonly #maxSourceBytes: number;
  readonly #analyser = new Analyser();
  readonly #bytecode = new BytecodeMaker();

  constructor(maxSourceBytes: number) {
    this.#maxSourceBytes = maxSourceBytes;
  }

  async prepare(source: DeploySource): Promise<Prepared> {
    const size = source.source.length;
    if (size > this.#maxSourceBytes)
      throw new BerthError('CODE_TOO_LARGE', { size, limit: this.#maxSourceBytes });
    const { filename } = source;
    const kind = kindOf(filename);
    const text = decode(source.source, filename);
    const givenMap = source.sourceMap === undefined ? null : slimSourceMap(source.sourceMap);
    const { analysis, sourceMap } = await this.#analyse({ text, filename, kind, source, givenMap });
    if (analysis.exportsNothing)
      throw new BerthError('FORM_UNKNOWN', { reason: 'Supplied code must return or export a function.' });
    const isFormFixed = source.form !== undefined && source.form !== 'auto';
    return {
      prepared: { code: Buffer.from(analysis.code), sourceMap, source: source.source },
      form: isFormFixed ? source.form : analysis.form,
      isFormFixed,
      moduleKind:
        kind.moduleKind ?? source.moduleKind ?? (analysis.evaluate === 'module' ? 'esm' : 'commonjs'),
      language: kindOf(source.entry ?? filename).language,
      evaluate: analysis.evaluate,
      filename: source.entry ?? filename,
    };
  }

  makeBytecode(owner: string, { prepared }: Prepared): Promise<Bytecode | null> {
    return this.#bytecode.make(owner, prepared.code);
  }

  async close(): Promise<void> {
    await this.#bytecode.close();
    await this.#analyser.close();
    await stopTranspiler();
  }

  /** As it is, or with its types blanked out, so that lines and columns stay; through esbuild only where that is not enough. */
  async #analyse(job: Job): Promise<Analysed> {
    const { text, kind, filename, givenMap } = job;
    if (kind.loader === 'jsx' || kind.loader === 'tsx') return this.#transpile(job);
    const analysis = await this.#ask(job, text, kind.loader === 'ts');
    if (analysis.kind === 'mixed') return this.#transpile(job, 'cjs');
    if (analysis.kind === 'not-erasable') return this.#transpile(job);
    return { analysis: fine(analysis, filename), sourceMap: givenMap };
  }

  async #transpile(job: Job, format?: 'cjs'): Promise<Analysed> {
    const { text, kind, filename, givenMap } = job;
    const request = { text, filename, loader: kind.loader, sourceMap: givenMap };
    const { code, sourceMap } = await transpile(format === undefined ? request : { ...request, format });
    const analysis = await this.#ask(job, code, false);
    if (analysis.kind === 'mixed' && format === undefined) return this.#transpile(job, 'cjs');
    return { analysis: fine(analysis, filename), sourceMap };
  }

  async #ask({ kind, source }: Job, text: string, isTypeScript: boolean): Promise<Analysis> {
    return this.#analyser.analyse(source.owner, {
      text,
      isTypeScript,
      moduleKind: kind.moduleKind,
      declaredKind: source.moduleKind ?? null,
    });
  }
}

interface Analysed {
  readonly analysis: Fine;
  readonly sourceMap: Uint8Array | null;
}

interface Job {
  readonly text: string;
  readonly filename: string;
  readonly kind: SourceKind;
  readonly source: DeploySource;
  readonly givenMap: Uint8Array | null;
}

/** @throws BerthError CODE_INVALID */
function fine(analysis: Analysis, file: string): Fine {
  if (analysis.kind === 'fine') return analysis;
  if (analysis.kind === 'invalid') {
    const { reason, line, column } = analysis;
    throw new BerthError('CODE_INVALID', { reason, file, line, column });
  }
  throw new BerthError('CODE_INVALID', { reason: 'it is nested too deeply', file, line: 1, column: 1 });
}

/** @throws BerthError CODE_INVALID when it is not UTF-8 */
function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new BerthError(
      'CODE_INVALID',
      { reason: 'it is not UTF-8', file, line: 1, column: 1 },
      { cause: error },
    );
  }
}
