/** JSON in frames from a sandbox. */
import type { z } from 'zod';
import { MalformedFrame } from '../../kernel/frame-heads.ts';

const MAX_JSON_BYTES = 32 * 1024;

/** @throws MalformedFrame when the payload is not JSON of that schema */
export function parseJson<Schema extends z.ZodType>(schema: Schema, payload: Buffer): z.output<Schema> {
  if (payload.length > MAX_JSON_BYTES) throw new MalformedFrame('too much JSON');
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch (error) {
    throw new MalformedFrame(`not JSON: ${(error as Error).message.slice(0, 100)}`);
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new MalformedFrame('JSON of the wrong form');
  return result.data;
}
