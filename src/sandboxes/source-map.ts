/** Finds one position in a source map (ECMA-426) without building it in memory: maps come from tenants and may be large. */
import { z } from 'zod';

export interface Origin {
  readonly source: string;
  /** 1-based */
  readonly line: number;
  readonly column: number;
}

const mapSchema = z.object({ mappings: z.string(), sources: z.array(z.string().nullable()) });

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const digitOf = new Int8Array(128).fill(-1);
for (let value = 0; value < DIGITS.length; value++) digitOf[DIGITS.charCodeAt(value)] = value;
const COMMA = 44;
const SEMICOLON = 59;
const MIN_SOURCE_FIELDS = 4;

/** @param generated 1-based. @returns null when the map is broken, or says nothing about that position */
export function originOf(json: Buffer, generated: { line: number; column: number }): Origin | null {
  const map = parse(json);
  const found = map === null ? null : scan(map.mappings, generated);
  const source = found === null ? null : (map?.sources[found.source] ?? null);
  return found === null || source === null
    ? null
    : { source, line: found.line + 1, column: found.column + 1 };
}

function parse(json: Buffer): z.infer<typeof mapSchema> | null {
  try {
    return mapSchema.safeParse(JSON.parse(json.toString('utf8'))).data ?? null;
  } catch {
    return null;
  }
}

interface Found {
  readonly source: number;
  readonly line: number;
  readonly column: number;
}

/** Base64 VLQ: fields are relative to those before, the generated column to those of its line. */
function scan(mappings: string, generated: { line: number; column: number }): Found | null {
  const state = [0, 0, 0, 0, 0];
  let [line, field, value, shift] = [1, 0, 0, 0];
  let found: Found | null = null;
  for (let at = 0; at <= mappings.length; at++) {
    const char = at < mappings.length ? mappings.charCodeAt(at) : SEMICOLON;
    if (char === COMMA || char === SEMICOLON) {
      const isBefore = line === generated.line && state[0]! <= generated.column - 1;
      if (isBefore && field >= MIN_SOURCE_FIELDS)
        found = { source: state[1]!, line: state[2]!, column: state[3]! };
      if (char === SEMICOLON) {
        if (line === generated.line) return found;
        line += 1;
        state[0] = 0;
      }
      [field, value, shift] = [0, 0, 0];
      continue;
    }
    const digit = digitOf[char] ?? -1;
    if (digit < 0 || field >= state.length || shift > 30) return null;
    value += (digit & 31) << shift;
    shift += 5;
    if ((digit & 32) !== 0) continue;
    state[field] = state[field]! + ((value & 1) === 1 ? -(value >>> 1) : value >>> 1);
    field += 1;
    [value, shift] = [0, 0];
  }
  return found;
}
