/** What fuzzing needs to know of a parser: how to make input for it, and what must hold whatever the input. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';

export interface FuzzTarget extends AsyncDisposable {
  readonly name: string;
  /** Runs until `parameters` say that it is enough. @throws Error with the smallest input that breaks a promise */
  check(parameters: FuzzParameters): Promise<void>;
}

export interface FuzzParameters {
  readonly numRuns: number;
  /** an end before that */
  readonly interruptAfterTimeLimit?: number;
  readonly seed?: number;
}

/** Makes the target when it is asked for: it may open servers. */
export type OpenFuzzTarget = () => Promise<FuzzTarget>;

/**
 * The inputs that were worth keeping: every one that broke something, and the attacks that are known. They run first, each
 * time. `corpus/<name>.json` is a list of texts, latin1 or hexadecimal as the target says.
 */
export function corpusOf(name: string): readonly string[] {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'corpus', `${name}.json`), 'utf8')) as string[];
}

/** Checks the corpus, then random inputs. */
export async function checkInputs<Input>(
  inputs: fc.Arbitrary<Input>,
  corpus: readonly Input[],
  holds: (input: Input) => Promise<void>,
  parameters: FuzzParameters,
): Promise<void> {
  for (const input of corpus) await holds(input);
  await fc.assert(fc.asyncProperty(inputs, holds), {
    ...parameters,
    markInterruptAsFailure: false,
    endOnFailure: false,
  });
}
