/** What `berth doctor` says about one thing of the host. */

/** warn: the platform runs, but less safely or less well; fail: it does not run, or not with more than one tenant. */
export const levels = ['ok', 'warn', 'fail'] as const;
export type Level = (typeof levels)[number];

export interface Finding {
  readonly check: string;
  readonly level: Level;
  readonly found: string;
  /** what to change; null where nothing is to be changed */
  readonly wayOut: string | null;
}

type Said = Omit<Finding, 'check'>;

export const ok = (found: string): Said => ({ level: 'ok', found, wayOut: null });
export const warn = (found: string, wayOut: string): Said => ({ level: 'warn', found, wayOut });
export const fail = (found: string, wayOut: string): Said => ({ level: 'fail', found, wayOut });

export interface Check {
  readonly name: string;
  look(host: Host): Said;
}

/** Everything that a check may look at; handed in, so that tests play any machine. */
export interface Host {
  readonly isRoot: boolean;
  readonly nodeVersion: string;
  /** of the platform that would be started here */
  readonly dataDir: string;
  /** Text of a file without the spaces around it; null: it is not there, or may not be read. */
  read(path: string): string | null;
  isWritable(path: string): boolean;
  /** Runs a program as an ordinary user, even when this one is root. @returns its output; null: it is missing or fails */
  run(command: string, ...args: readonly string[]): string | null;
  /** Bytes free to this user where the path is or would be; null: unknown */
  freeBytes(path: string): number | null;
}

export function worstOf(findings: readonly Finding[]): Level {
  return levels.findLast((level) => findings.some((finding) => finding.level === level)) ?? 'ok';
}

/** True when a dotted version is at least another one. What is no number counts as 0. */
export function isAtLeast(version: string, least: string): boolean {
  const [own, other] = [version, least].map((text) =>
    text.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0),
  );
  for (const [index, wanted] of other!.entries()) {
    const given = own![index] ?? 0;
    if (given !== wanted) return given > wanted;
  }
  return true;
}
