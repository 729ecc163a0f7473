/** Why the store cannot be opened, for the operator: the message says what to do. The platform must not start. */
export class StoreOpenError extends Error {
  override readonly name = 'StoreOpenError';

  constructor(message: string, cause?: unknown) {
    super(`${message}.`, cause === undefined ? undefined : { cause });
  }
}
