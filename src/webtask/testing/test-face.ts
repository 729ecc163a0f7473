/** The face on a real fastify server, with everything behind it in memory. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyInstance, fastify } from 'fastify';
import { BerthError } from '../../contracts/errors.ts';
import { tenantIdSchema } from '../../contracts/ids.ts';
import type { LogRecord } from '../../contracts/model.ts';
import { DeployTurns } from '../../control/deploy-turns.ts';
import type { ExchangeOptions, Invoker } from '../../invoke/invoker.ts';
import { FakeClock } from '../../kernel/testing/fake-clock.ts';
import type { LogFilter, Logs, LogSubscription } from '../../logs/logs.ts';
import type { Preparer } from '../../modules/preparer.ts';
import type { Runnable } from '../../sandboxes/sandboxes.ts';
import { createWebtaskFace, type WebtaskFace } from '../webtask-face.ts';
import { FakeTokens } from './fake-tokens.ts';
import { MemoryControl } from './memory-control.ts';

/** What a run answers in these tests: what the function would have been given. */
export interface SeenRun {
  readonly key: string;
  readonly fn: string;
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly headers: readonly string[];
}

export interface TestFace {
  readonly url: string;
  readonly face: WebtaskFace;
  readonly app: FastifyInstance;
  readonly control: MemoryControl;
  readonly tokens: FakeTokens;
  readonly clock: FakeClock;
  readonly logs: FakeLogs;
  readonly retired: string[];
  readonly reported: BerthError[];
  readonly operator: string;
  /** of the tenant acme, which exists */
  readonly manager: string;
  close(): Promise<void>;
}

export async function startTestFace(): Promise<TestFace> {
  const clock = new FakeClock();
  const control = new MemoryControl();
  const tokens = new FakeTokens(clock);
  const logs = new FakeLogs();
  const retired: string[] = [];
  const reported: BerthError[] = [];
  let ids = 0;
  const face = createWebtaskFace({
    control: control.asControl(),
    directory: control,
    invoker: echoingInvoker(),
    verifier: tokens,
    issuer: tokens,
    logs,
    preparer: fakePreparer(),
    deploys: new DeployTurns(clock),
    clock,
    publicUrl: (request) => `http://${request.headers.host ?? ''}`,
    randomId: () => `random${ids++}`,
    report: (error) => reported.push(error),
    retire: (key) => retired.push(key),
  });
  const app = fastify({ forceCloseConnections: true });
  await app.register(async (scope) => face.register(scope), { prefix: face.prefix });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const acme = tenantIdSchema.parse('acme');
  await control.createTenant({ id: acme });
  const { token: operator } = await tokens.issue({ scopes: ['operator'], tenant: null });
  const { token: manager } = await tokens.issue({ scopes: ['manage', 'run'], tenant: acme });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  return {
    url,
    face,
    app,
    control,
    tokens,
    clock,
    logs,
    retired,
    reported,
    operator,
    manager,
    close: () => app.close(),
  };
}

export class FakeLogs implements Logs {
  readonly #queues = new Set<{ filter: LogFilter; push: (record: LogRecord | null) => void }>();

  get readers(): number {
    return this.#queues.size;
  }

  publish(record: LogRecord): void {
    for (const { filter, push } of this.#queues)
      if (filter.tenant === record.tenant && (filter.fn ?? record.fn) === record.fn) push(record);
  }

  subscribe(filter: LogFilter, signal: AbortSignal): LogSubscription {
    const waiting: (LogRecord | null)[] = [];
    let wake = (): void => undefined;
    const queue = {
      filter,
      push: (record: LogRecord | null): void => {
        waiting.push(record);
        wake();
      },
    };
    this.#queues.add(queue);
    const close = (): void => queue.push(null);
    signal.addEventListener('abort', close);
    if (signal.aborted) close();
    const queues = this.#queues;
    return {
      close,
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) {
            while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
            const record = waiting.shift()!;
            if (record === null) return;
            yield record;
          }
        } finally {
          queues.delete(queue);
        }
      },
    };
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function echoingInvoker(): Invoker {
  const exchange = async (
    runnable: Runnable,
    request: IncomingMessage,
    response: ServerResponse,
    options: ExchangeOptions,
  ): Promise<void> => {
    if (options.url.includes('spin')) {
      const error = new BerthError('EVENT_LOOP_BLOCKED', { name: 'blockedMs', limit: 2_000 });
      return options.writeError!(response, error, 'i1');
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const seen: SeenRun = {
      key: runnable.key,
      fn: runnable.fn,
      method: request.method ?? '',
      url: options.url,
      body: Buffer.concat(chunks).toString(),
      headers: options.headers ?? request.rawHeaders,
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(seen));
  };
  return {
    exchange: (...parts) => void exchange(...parts),
    upgrade: (_runnable, _request, socket) => void socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'),
    inFlight: 0,
  };
}

function fakePreparer(): Pick<Preparer, 'prepare'> {
  return {
    async prepare({ source, filename }) {
      if (Buffer.from(source).includes('syntax error'))
        throw new BerthError('CODE_INVALID', { reason: 'syntax error', file: filename, line: 1, column: 1 });
      const shape = {
        form: 'webtask',
        isFormFixed: false,
        moduleKind: 'commonjs',
        language: 'javascript',
      } as const;
      return { ...shape, prepared: { code: source, sourceMap: null, source }, evaluate: 'script', filename };
    },
  };
}
