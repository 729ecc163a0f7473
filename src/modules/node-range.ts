/** Which Node a function runs on: `engines.node` of its package.json against the versions that there are. */
import { minVersion, satisfies, validRange } from 'semver';

/** Longer ones are no range that anybody writes. */
const MAX_RANGE_CHARACTERS = 256;

export function isNodeRange(text: string): boolean {
  return text.length <= MAX_RANGE_CHARACTERS && validRange(text) !== null;
}

/** @param versions the preferred one first @returns the first that satisfies the range; null when none does */
export function nodeVersionFor(range: string | null, versions: readonly string[]): string | null {
  if (range === null) return versions[0] ?? null;
  return versions.find((version) => satisfies(version, range)) ?? null;
}

/**
 * The major version to run on. When what the range wants is not there (any more), still what it wants: better no sandbox
 * than another Node.
 */
export function nodeMajorFor(range: string | null, versions: readonly string[]): number {
  const version = nodeVersionFor(range, versions) ?? minVersion(range ?? '*')?.version ?? '0';
  return Number.parseInt(version, 10);
}
