/** Node's form: a listener `(req, res)`, an app of Express, Koa or Fastify, or an `http.Server`. */
import type http from 'node:http';
import type { Exchange } from '../exchange.ts';
import type { Handler, Program } from '../program.ts';
import { openNodeExchange } from './node-exchange.ts';
import { UpgradeSocket } from './upgrade-socket.ts';

/** How an app is called: by its listener, or by the `request` event of its server; upgrades go to the server. */
export interface NodeApp {
  readonly listener: ((...values: never[]) => unknown) | null;
  readonly server: http.Server | null;
}

type Listener = (request: http.IncomingMessage, response: http.ServerResponse) => unknown;

export function nodeHandler(app: NodeApp, program: Program): Handler {
  const { server } = app;
  const listener =
    (app.listener as Listener | null) ?? ((request, response) => server?.emit('request', request, response));
  return (exchange) => {
    if (exchange.isUpgrade && server !== null && server.listenerCount('upgrade') > 0)
      return upgrade(exchange, server);
    const { request, response } = openNodeExchange(exchange);
    const returned = listener(request, response);
    if (isPromise(returned)) void follow(exchange, returned, program);
  };
}

function upgrade(exchange: Exchange, server: http.Server): void {
  const { request } = openNodeExchange(exchange);
  const socket = new UpgradeSocket(exchange);
  Object.assign(request, { upgrade: true, socket, complete: true });
  server.emit('upgrade', request, socket, Buffer.alloc(0));
}

/** A listener that returns a promise has failed when that is rejected. */
async function follow(exchange: Exchange, returned: PromiseLike<unknown>, program: Program): Promise<void> {
  try {
    await returned;
  } catch (error) {
    if (exchange.isOver) program.logError(error);
    else exchange.fail(error);
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
