/** What is wrong with the settings: every problem at once, each with the way out. The process ends with `exitCode`. */

export interface ConfigProblem {
  /** Where the value came from, as the operator wrote it: `PORT`, `--port`, `berth.json: pool.minBlank`. */
  readonly where: string;
  readonly what: string;
  readonly wayOut: string;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** As usage errors of other commands. */
  readonly exitCode = 2;
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: { cause?: unknown }) {
    super(problems.map(({ where, what, wayOut }) => `${where}: ${what}. ${wayOut}`).join('\n'), options);
    this.problems = problems;
  }
}
