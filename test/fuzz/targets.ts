/** The list to add to: everything that parses what attackers write. */
import { openFrames } from './frames.ts';
import type { OpenFuzzTarget } from './fuzz-target.ts';
import { openHttpEdge } from './http-edge.ts';
import { openTokens } from './tokens.ts';

export const fuzzTargets: Readonly<Record<string, OpenFuzzTarget>> = {
  frames: openFrames,
  http: openHttpEdge,
  tokens: openTokens,
};
