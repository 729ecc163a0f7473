/** Looks whether this host can run the platform, and how well. Needs no running platform and changes nothing. */
import { type Finding, type Host } from './finding.ts';
import { isolationChecks } from './isolation-checks.ts';
import { kernelChecks } from './kernel-checks.ts';
import { programChecks } from './program-checks.ts';

export function examine(host: Host): readonly Finding[] {
  return [...kernelChecks, ...isolationChecks, ...programChecks].map(({ name, look }) => ({
    check: name,
    ...look(host),
  }));
}
