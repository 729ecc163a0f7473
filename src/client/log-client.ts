/** Logs of a tenant: history, and live. */
import { ClientError } from './client-error.ts';
import { readEvents } from './event-stream.ts';
import { type LogLine, listSchema, logSchema, problemSchema } from './records.ts';
import { type Transport, unreachable } from './transport.ts';

export interface LogSelection {
  readonly function?: string;
  readonly invocation?: string;
  /** milliseconds since 1970 */
  readonly since?: number;
  /** records with an id below this one */
  readonly before?: number;
  readonly limit?: number;
}

export class LogClient {
  readonly #transport: Transport;
  readonly #path: readonly string[];

  constructor(transport: Transport, path: readonly string[]) {
    this.#transport = transport;
    this.#path = path;
  }

  /** newest first */
  async history(selection: LogSelection): Promise<readonly LogLine[]> {
    const call = { path: this.#path, query: { ...selection } };
    return (await this.#transport.json(listSchema(logSchema), call)).items;
  }

  /**
   * Records from now on, until `signal`. `onOpen` is called when nothing that happens from then on is missed.
   * @throws ClientError, also when the platform ends the stream
   */
  async *follow(
    selection: Pick<LogSelection, 'function'>,
    { signal, onOpen }: { readonly signal: AbortSignal; readonly onOpen?: () => void },
  ): AsyncGenerator<LogLine> {
    const call = { path: [...this.#path, 'stream'], query: { ...selection }, signal };
    const response = await this.#transport.open(call, false);
    onOpen?.();
    try {
      for await (const { event, data } of readEvents(response.body ?? emptyBody())) {
        const content: unknown = JSON.parse(data);
        if (event === 'closed') throw closedBy(content);
        const line = logSchema.safeParse(content);
        if (line.success) yield line.data;
      }
    } catch (error) {
      if (signal.aborted) return;
      throw error instanceof ClientError ? error : unreachable(this.#transport.url, error);
    }
  }
}

async function* emptyBody(): AsyncGenerator<Uint8Array> {
  // a response without a body has no events
}

function closedBy(content: unknown): ClientError {
  const problem = problemSchema.safeParse(content);
  if (problem.success) {
    const { code, detail, wayOut } = problem.data;
    return new ClientError({ code, message: detail, wayOut });
  }
  return new ClientError({
    code: 'NOT_BERTH',
    message: 'The platform ended the stream of logs without saying why.',
    wayOut: 'Try again.',
  });
}
