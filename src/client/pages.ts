/** Lists that come in pages. */
import type { z } from 'zod';
import { listSchema } from './records.ts';
import type { Transport } from './transport.ts';

export interface PagedList {
  readonly path: readonly string[];
  readonly pageSize: number;
}

/** One item after the other; asks for a page when the one before is used up. @throws ClientError */
export async function* pages<T>(
  transport: Transport,
  item: z.ZodType<T>,
  { path, pageSize }: PagedList,
): AsyncGenerator<T> {
  let after: string | undefined;
  do {
    const page = await transport.json(listSchema(item), { path, query: { after, limit: pageSize } });
    yield* page.items;
    after = page.next === null || page.next === undefined ? undefined : String(page.next);
  } while (after !== undefined);
}
