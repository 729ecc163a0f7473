/** The web standard's form: `{ fetch(request, env, ctx) }`, or `(request, env, ctx) => Response`. */
import type { Exchange } from '../exchange.ts';
import type { Handler, Program } from '../program.ts';
import { ResponseInvalid } from '../response-writer.ts';
import { createFetchRequest } from './fetch-request.ts';
import { isResponse, sendResponse } from './fetch-response.ts';

type FetchFunction = (request: Request, env: unknown, ctx: FetchContext) => unknown;

/** Third argument, as in Workers. */
class FetchContext {
  readonly #exchange: Exchange;
  readonly props = {};

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** Keeps the sandbox busy until `work` has settled, after the response. */
  waitUntil(work: unknown): void {
    this.#exchange.waitUntil(work);
  }

  /** There is nothing to pass through to. */
  passThroughOnException(): void {}
}

/** @param owner what `this` is in the function */
export function fetchHandler(fn: (...values: never[]) => unknown, owner: unknown, program: Program): Handler {
  const call = fn as FetchFunction;
  const env = { ...program.spec.env, ...program.spec.secrets };
  return (exchange) => void run(exchange, (request, ctx) => Reflect.apply(call, owner, [request, env, ctx]));
}

async function run(
  exchange: Exchange,
  call: (request: Request, ctx: FetchContext) => unknown,
): Promise<void> {
  try {
    if (isRefusedMethod(exchange.head.method)) return exchange.respond(405, [], Buffer.alloc(0));
    const response = await call(createFetchRequest(exchange), new FetchContext(exchange));
    if (!isResponse(response)) throw new ResponseInvalid(`it returned ${kindOf(response)}, not a Response`);
    await sendResponse(exchange, response);
  } catch (error) {
    exchange.fail(error);
  }
}

/** What `Request` refuses. */
function isRefusedMethod(method: string): boolean {
  return method === 'TRACE' || method === 'CONNECT' || method === 'TRACK';
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}
