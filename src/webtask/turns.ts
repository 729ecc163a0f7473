/** A webtask call's turn to bring code: it lasts until its response has left, unless it is ended before. */
import type { ServerResponse } from 'node:http';
import type { DeployTurns } from '../control/deploy-turns.ts';

/** @returns what ends the turn earlier. @throws BerthError QUEUE_FULL, CONCURRENCY_LIMIT after waiting too long */
export async function takeTurn(
  deploys: Pick<DeployTurns, 'take'>,
  { owner, bytes }: { readonly owner: string; readonly bytes: number },
  response: ServerResponse,
): Promise<() => void> {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  response.once('close', leave);
  const end = await deploys
    .take({ owner, bytes, signal: gone.signal })
    .finally(() => response.off('close', leave));
  if (response.closed) end();
  else response.once('close', end);
  return end;
}
