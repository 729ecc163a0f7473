import { BerthError } from '../contracts/errors.ts';

/** Longest token that is looked at, in characters. */
export const MAX_TOKEN_CHARACTERS = 8_192;

/** A token that is not accepted. `reason` completes "The token is not valid: …" and holds nothing of the token. */
export function refusal(reason: string, cause?: unknown): BerthError {
  return new BerthError('TOKEN_INVALID', { reason }, cause === undefined ? undefined : { cause });
}
