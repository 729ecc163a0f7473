/**
 * Descriptors that this process was started with and would pass on: whoever started it forgot O_CLOEXEC, as some shells
 * and supervisors do. A sandbox must not get them; Node cannot close them, but it can put /dev/null in their place.
 */
import { openSync, readdirSync, readFileSync } from 'node:fs';
import type { IOType } from 'node:child_process';

const O_CLOEXEC = 0o2000000;
/** Those that every process has: input, output, errors. */
const STANDARD = 3;

/** Numbers above those of `stdio` itself. Node opens all of its own with O_CLOEXEC, so the list does not change. */
function strayDescriptors(from: number): number[] {
  return readdirSync('/proc/self/fdinfo')
    .map(Number)
    .filter((fd) => fd >= from && isInherited(fd));
}

function isInherited(fd: number): boolean {
  try {
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  } catch {
    return false; // the descriptor of the listing itself
  }
}

/** `stdio` for `spawn`, longer by what it takes to cover strays with /dev/null. */
export function coverStrays<T extends IOType | number>(stdio: readonly T[]): (T | 'ignore' | number)[] {
  strays ??= strayDescriptors(STANDARD);
  const covered: (T | 'ignore' | number)[] = [...stdio];
  for (const fd of strays) {
    if (fd < stdio.length) continue;
    nothing ??= openSync('/dev/null', 'r+');
    while (covered.length < fd) covered.push('ignore'); // above 2: left alone
    covered[fd] = nothing;
  }
  return covered;
}

let strays: number[] | null = null;
let nothing: number | null = null;
