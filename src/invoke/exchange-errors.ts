/** Failures of exchanges that more than one place makes. */
import { BerthError } from '../contracts/errors.ts';

export function tooLarge(limit: number): BerthError {
  return new BerthError('BODY_TOO_LARGE', { name: 'requestBodyBytes', limit: `requestBodyBytes (${limit})` });
}

export function timeout(limit: number): BerthError {
  return new BerthError('TIMEOUT', { name: 'wallMs', limit });
}
