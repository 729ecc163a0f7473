/** For which code bytecode is made, and for which sandboxes it is. */
import { createHash } from 'node:crypto';
import { platformLimits } from '../contracts/limits.ts';
import { nodeFlags } from '../kernel/node-flags.ts';
import { nodeVersionFor } from './node-range.ts';

const { bytecodeFromBytes, bytecodeUpToBytes } = platformLimits;

/** V8 minds all flags but the size of the heap. */
const FLAGS = createHash('sha256').update(nodeFlags(0).join(' ')).digest('hex').slice(0, 8);

/** V8 takes bytecode of its own version and flags only; what else it minds (features of the processor) it checks itself. */
export function bytecodeTarget(nodeVersion: string): string {
  return `${nodeVersion}-${process.arch}-${FLAGS}`;
}

/** What this process makes bytecode for. */
export const ownTarget: string = bytecodeTarget(process.versions.node);

/** @param versions of Node, that sandboxes can run @returns null when none of them is for this range */
export function bytecodeTargetFor(nodeRange: string | null, versions: readonly string[]): string | null {
  const version = nodeVersionFor(nodeRange, versions);
  return version === null ? null : bytecodeTarget(version);
}

/** Smaller code is compiled sooner than bytecode is fetched; larger code takes memory that a deploy shall not have. */
export function gainsByBytecode({ length }: Uint8Array, evaluate: 'script' | 'module'): boolean {
  return evaluate === 'script' && length >= bytecodeFromBytes.value && length <= bytecodeUpToBytes.value;
}
