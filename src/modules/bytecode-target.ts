/** For which code bytecode is made, and for which sandboxes it is. */
import { platformLimits } from '../contracts/limits.ts';
import { nodeVersionFor } from './node-range.ts';

const { bytecodeFromBytes, bytecodeUpToBytes } = platformLimits;

/** V8 takes bytecode of its own version only; what else it minds (flags, features of the processor) it checks itself. */
export function bytecodeTarget(nodeVersion: string): string {
  return `${nodeVersion}-${process.arch}`;
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
