/** Waits for all of these, whatever becomes of the others. @throws AggregateError with what failed, if anything did */
export async function allApplied(changes: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(changes);
  const errors = results.filter((result) => result.status === 'rejected').map(({ reason }) => reason);
  if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '));
}
