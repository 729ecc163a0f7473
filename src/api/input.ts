/** Checks what callers send against its schema, and says what is wrong in words that repeat nothing hostile. */
import { z } from 'zod';
import { BerthError } from '../contracts/errors.ts';
import { cleanText } from '../kernel/clean-text.ts';

export const noInput = z.strictObject({});

const MAX_REASON_BYTES = 300;

/** @throws BerthError NAME_INVALID: what stands in the path is a name */
export function parseParams<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new BerthError('NAME_INVALID', { reason: reasonOf(parsed.error, '') });
}

/** @throws BerthError NAME_INVALID when a name is wrong, BAD_REQUEST otherwise */
export function parseInput<S extends z.ZodType>(
  schema: S,
  value: unknown,
  place: 'query' | 'body',
): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const isName = parsed.error.issues.every(isNameIssue);
  throw new BerthError(isName ? 'NAME_INVALID' : 'BAD_REQUEST', { reason: reasonOf(parsed.error, place) });
}

/** All schemas with a regular expression are of names (contracts/ids.ts, schemas.ts). */
function isNameIssue(issue: z.core.$ZodIssue): boolean {
  return (issue.code === 'invalid_format' && issue.format === 'regex') || issue.code === 'invalid_key';
}

function reasonOf(error: z.ZodError, place: string): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'it does not fit the schema';
  const path = [place, ...issue.path.map(String)].filter((step) => step !== '').join('.');
  return cleanText(path === '' ? issue.message : `${path}: ${issue.message}`, MAX_REASON_BYTES).replace(
    /[\n\t]/g,
    ' ',
  );
}
