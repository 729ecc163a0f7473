/** Alternating rounds: A, B, C, A, B, C, … so that a machine that gets slower does so for every side. */

export interface Side<T> {
  readonly name: string;
  measure(round: number): Promise<T>;
}

/** @returns for each side what it measured, round by round */
export async function alternate<T>(
  sides: readonly Side<T>[],
  rounds: number,
  say: (text: string) => void,
): Promise<Map<string, T[]>> {
  const measured = new Map<string, T[]>(sides.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1} of ${rounds}`);
    for (const { name, measure } of sides) measured.get(name)!.push(await measure(round));
  }
  return measured;
}

/** @throws Error when no side has that name */
export function of<T>(measured: ReadonlyMap<string, T[]>, name: string): T[] {
  const values = measured.get(name);
  if (values === undefined) throw new Error(`no side ${name}`);
  return values;
}
