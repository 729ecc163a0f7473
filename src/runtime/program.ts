/** One revision as the host sent it, and the ways to call it. Each file of `forms` makes a `Handler` of an exported value. */
import type { Form } from '../contracts/forms.ts';
import type { LoadSpec } from '../contracts/frames.ts';
import type { Exchange } from './exchange.ts';

/** Answers one invocation. What it throws fails the invocation. */
export type Handler = (exchange: Exchange) => void;

/** What the forms need to know of the revision. */
export interface Program {
  readonly spec: LoadSpec;
  /** Logs an error of tenants' code on behalf of the present invocation. */
  readonly logError: (thrown: unknown) => void;
}

export interface ChosenForm {
  readonly form: Exclude<Form, 'auto'>;
  readonly handler: Handler;
}

/** The code can be loaded, and exports nothing that can be called. */
export class FormUnknown extends Error {
  override readonly name = 'FormUnknown';
}
