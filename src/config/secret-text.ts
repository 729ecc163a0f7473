/** A text that is not shown by accident: printed, logged, put into JSON or inspected it reads `[secret]`. */
import { inspect } from 'node:util';

const SHOWN = '[secret]';

export class SecretText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The one way to the text itself. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}
