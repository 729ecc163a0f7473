/** What the webtask forms answer: results as JSON, errors as real webtask clients know them (webtask contract, 3.3 and 3.5). */
import { reasonOf } from '../failure-text.ts';
import type { Exchange } from '../exchange.ts';
import { headerValue } from './header-names.ts';

const JSON_TYPE = ['content-type', 'application/json'];
const MAX_AGE_SECONDS = '60000';

/** The result as JSON; what is falsy becomes `{}`. */
export function answerResult(exchange: Exchange, result: unknown): void {
  let text: string | undefined;
  try {
    text = JSON.stringify(result || {});
  } catch (error) {
    const words = 'Error when JSON serializing the result of the JavaScript code.';
    return answerError(exchange, 400, { error: words, ...described(error) });
  }
  exchange.respond(200, JSON_TYPE, Buffer.from(text ?? '{}'));
}

/** What was given to the callback, or what a returned promise was rejected with. */
export function answerReturnedError(exchange: Exchange, error: unknown): void {
  answerError(exchange, 400, { error: 'Script returned an error.', ...described(error) });
}

export function answerException(exchange: Exchange, error: unknown): void {
  const words = 'Script generated an unhandled synchronous exception.';
  answerError(exchange, 500, { error: words, ...described(error) });
}

export function answerTooLarge(exchange: Exchange, limit: number): void {
  const details = `The request body has more than ${limit} bytes.`;
  answerError(exchange, 400, { error: 'Script exceeds the size limit.', details });
}

/** CORS preflight, which webtask answers in place of the function. @returns whether it was one */
export function answerPreflight(exchange: Exchange): boolean {
  const { method, headers } = exchange.head;
  if (method !== 'OPTIONS') return false;
  const wanted = headerValue(headers, 'access-control-request-method');
  if (wanted === '') return false;
  const answer = ['access-control-allow-methods', wanted, 'access-control-max-age', MAX_AGE_SECONDS];
  const origin = headerValue(headers, 'origin');
  if (origin !== '') {
    answer.push('access-control-allow-origin', origin, 'vary', 'origin');
    answer.push('access-control-allow-credentials', 'true');
  }
  const asked = headerValue(headers, 'access-control-request-headers');
  if (asked !== '') answer.push('access-control-allow-headers', asked);
  exchange.respond(200, answer, Buffer.alloc(0));
  return true;
}

function answerError(exchange: Exchange, code: number, facts: Record<string, unknown>): void {
  let text: string;
  try {
    text = JSON.stringify({ code, ...facts }, null, 2);
  } catch {
    text = JSON.stringify({ code, error: facts.error, details: reasonOf(facts.details) }, null, 2);
  }
  exchange.respond(code, JSON_TYPE, Buffer.from(text));
}

function described(error: unknown): Record<string, unknown> {
  if (error instanceof Error)
    return { details: reasonOf(error), name: textOf(error, 'name'), message: textOf(error, 'message') };
  const message = typeof error === 'object' && error !== null ? textOf(error, 'message') : undefined;
  return { details: error, ...(message === undefined ? {} : { message }) };
}

function textOf(error: object, name: string): string | undefined {
  try {
    const value = (error as Record<string, unknown>)[name];
    return value === undefined ? undefined : String(value);
  } catch {
    return undefined;
  }
}
