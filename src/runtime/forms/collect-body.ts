/** The whole request body in memory, for the forms that hand it over parsed. */
import type { Exchange } from '../exchange.ts';

/** Larger bodies must be streamed: `(req, res)`, `fetch` and `(ctx, req, res)` do. */
export const MAX_COLLECTED_BYTES = 10 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** Calls `done` with the body, at once where there is none; with null when it is larger than MAX_COLLECTED_BYTES. */
export function collectBody({ body }: Exchange, done: (whole: Buffer | null) => void): void {
  if (body.isFinished) return done(NOTHING);
  const chunks: Buffer[] = [];
  let bytes = 0;
  const more = (): void => {
    let chunk: Buffer | null;
    while ((chunk = body.take()) !== null) {
      bytes += chunk.length;
      if (bytes > MAX_COLLECTED_BYTES) return done(null);
      chunks.push(chunk);
    }
    if (body.isFinished) done(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    else body.onReadable = more;
  };
  more();
}
