/** The source map that a deployer sends along with a bundle: hostile text, checked and cut to what stacks need. */
import { BerthError } from '../contracts/errors.ts';
import { hasAtMostValues } from '../kernel/json-values.ts';

const MAX_BYTES = 32 * 1024 * 1024;
/** Its names and sources; what maps is one text. */
const MAX_VALUES = 200_000;

/** @returns the map without the sources' text. @throws BerthError BAD_REQUEST */
export function slimSourceMap(json: Uint8Array): Uint8Array {
  if (json.length > MAX_BYTES) throw unusable('it is larger than 32 MiB');
  if (!hasAtMostValues(json, MAX_VALUES)) throw unusable(`it has more than ${MAX_VALUES} values`);
  let map: unknown;
  try {
    map = JSON.parse(Buffer.from(json).toString('utf8'));
  } catch (error) {
    throw unusable('it is not JSON', error);
  }
  if (typeof map !== 'object' || map === null) throw unusable('it is not an object');
  const { version, mappings, sources, names = [], sourceRoot } = map as Record<string, unknown>;
  if (version !== 3 || typeof mappings !== 'string') throw unusable('it is not of version 3 with "mappings"');
  if (!areStrings(sources) || !areStrings(names)) throw unusable('its "sources" or "names" are not texts');
  const root = typeof sourceRoot === 'string' ? { sourceRoot } : {};
  return Buffer.from(JSON.stringify({ version, sources, names, mappings, ...root }));
}

function areStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string' || one === null);
}

function unusable(reason: string, cause?: unknown): BerthError {
  return new BerthError('BAD_REQUEST', { reason: `the source map cannot be used: ${reason}` }, { cause });
}
