/**
 * Faults under load, as a table: `npm run chaos`. Arguments choose faults by a part of their name. Wants root.
 * The exit code is 1 when clients saw anything but clear failures, when it took longer than five seconds to recover, when
 * something acknowledged was lost, or when anything is left over.
 */
import { strike } from './chaos.ts';
import { faults } from './faults.ts';
import type { Verdict } from './judge.ts';

const PER_SECOND = 200;
const RECOVER_WITHIN_MS = 5_000;

const wanted = process.argv.slice(2);
const chosen = faults.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const columns = [50, 8, 8, 12, 12, 10] as const;
row('fault', 'requests', 'failed', 'longest', 'recovery', 'verdict');
let isPassed = chosen.length > 0;
for (const fault of chosen) {
  const verdict = await strike(fault, { perSecond: PER_SECOND, recoverWithinMs: RECOVER_WITHIN_MS });
  tell(fault.name, verdict);
  isPassed &&= verdict.objections.length === 0;
}
process.exit(isPassed ? 0 : 1);

function tell(name: string, { calls, failed, failures, longestMs, recoveryMs, objections }: Verdict): void {
  const recovery = recoveryMs === null ? 'never' : `${Math.round(recoveryMs)} ms`;
  row(
    name,
    String(calls),
    String(failed),
    `${Math.round(longestMs)} ms`,
    recovery,
    objections.length === 0 ? 'ok' : 'FAILED',
  );
  for (const [outcome, count] of failures) console.log(`    ${String(count).padStart(5)} × ${outcome}`);
  for (const objection of objections) console.log(`    FAILED: ${objection}`);
}

function row(...cells: readonly string[]): void {
  console.log(
    cells.map((cell, at) => (at === 0 ? cell.padEnd(columns[0]) : cell.padStart(columns[at]!))).join(' '),
  );
}
