/** Turns what a tenant deploys into what a sandbox starts from. Nothing of this happens on the path of a request. */
import type { Form, ModuleKind } from '../contracts/forms.ts';
import type { Bytecode, Language, PreparedCode } from '../contracts/model.ts';

export interface DeploySource {
  /** The tenant: those who deploy at the same time take turns. */
  readonly owner: string;
  readonly source: Uint8Array;
  /** Last path segment as the user knows it (`hello.ts`); decides language and module kind by its ending. Default `index.js`. */
  readonly filename: string;
  /** Of a bundle: name of the file that it was made from. It is shown, and tells the language; the text is JavaScript. */
  readonly entry?: string;
  /** When the caller knows better than the ending and the text (a bundle made by the CLI). */
  readonly moduleKind?: ModuleKind;
  readonly form?: Form;
  /** A bundle's own source map (JSON), so that stacks show the tenant's files. */
  readonly sourceMap?: Uint8Array;
}

export interface Prepared {
  readonly prepared: PreparedCode;
  readonly form: Form;
  readonly isFormFixed: boolean;
  readonly moduleKind: ModuleKind;
  readonly language: Language;
  readonly evaluate: 'script' | 'module';
  readonly filename: string;
}

export interface Preparer {
  /** @throws BerthError CODE_INVALID with file, line (1-based) and column (1-based); FORM_UNKNOWN when it is plain that nothing is exported */
  prepare(source: DeploySource): Promise<Prepared>;
  /** For sandboxes with this platform's own Node. Never runs the code. @param owner whose turn it takes @returns null when
   *  V8 does not manage within the bounds: sandboxes do without */
  makeBytecode(owner: string, prepared: Prepared): Promise<Bytecode | null>;
  close(): Promise<void>;
}
