/** What is found out about a source: what passes between the preparer and its worker thread. */
import type { Form, ModuleKind } from '../contracts/forms.ts';

export interface AnalysisRequest {
  readonly text: string;
  /** Types are to be blanked out first. */
  readonly isTypeScript: boolean;
  /** Fixed by the ending of the file's name; null: the text decides. */
  readonly moduleKind: ModuleKind | null;
  /** What the deployer says the text was made from: a bundle in CommonJS may be an ES module's. */
  readonly declaredKind: ModuleKind | null;
}

export type Analysis =
  | {
      readonly kind: 'fine';
      /** JavaScript at the lines and columns of the source. */
      readonly code: string;
      readonly evaluate: 'script' | 'module';
      readonly form: Form;
      /** Plainly nothing is exported. */
      readonly exportsNothing: boolean;
    }
  /** Line and column are 1-based. */
  | { readonly kind: 'invalid'; readonly reason: string; readonly line: number; readonly column: number }
  /** TypeScript whose types cannot just be blanked out (enums, namespaces, …), or too large to try. */
  | { readonly kind: 'not-erasable' }
  /** `import` beside `module.exports =`: neither a script nor an ES module, but CommonJS once its imports are `require`. */
  | { readonly kind: 'mixed' }
  /** Nested deeper than the parsers can follow. */
  | { readonly kind: 'too-deep' };
