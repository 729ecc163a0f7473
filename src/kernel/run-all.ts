/** Steps of an end: each is taken, whatever became of those before it. */

/**
 * One after the other.
 * @throws what the only one threw that failed, or an AggregateError of all that did
 */
export async function runAll(steps: readonly (() => unknown)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, `${errors.length} steps of the end failed`);
}
