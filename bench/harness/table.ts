/** What is printed of an outcome. */
import { isMet, type Check, type Outcome, type Row } from './outcome.ts';
import { median } from './statistics.ts';

export function printOutcome(name: string, { rows, checks }: Outcome): void {
  console.log(`\n${name}\n`);
  printTable(['', 'median', 'unit', 'lowest', 'highest', 'p50 ms', 'p99 ms'], rows.map(rowCells));
  console.log('');
  printTable(['', 'reached', 'wanted', 'unit', ''], checks.map(checkCells));
}

function rowCells({ label, rounds, unit, p50Ms, p99Ms }: Row): string[] {
  const times = [p50Ms, p99Ms].map((ms) => (ms === undefined ? '' : short(ms)));
  return [
    label,
    short(median(rounds)),
    unit,
    short(Math.min(...rounds)),
    short(Math.max(...rounds)),
    ...times,
  ];
}

function checkCells(check: Check): string[] {
  const { says, value, bound, target, unit } = check;
  return [says, short(value), `${bound} ${short(target)}`, unit, isMet(check) ? 'reached' : 'MISSED'];
}

function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  for (const row of [head, ...rows])
    console.log(
      row
        .map((cell, column) => pad(cell, widths[column]!, column))
        .join('  ')
        .trimEnd(),
    );
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 || !/^[\d.,]+$/.test(cell) ? cell.padEnd(width) : cell.padStart(width);
}

/** Three significant digits, or all before the point. */
function short(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits);
}
