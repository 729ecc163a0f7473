/** `req`, `res` and their socket for one invocation, and what happens to them when either side breaks off. */
import type http from 'node:http';
import type { Exchange } from '../exchange.ts';
import { createNodeRequest } from './node-request.ts';
import { closeNodeResponse, createNodeResponse } from './node-response.ts';
import { NodeSocket } from './node-socket.ts';

export interface NodeExchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
}

export function openNodeExchange(exchange: Exchange): NodeExchange {
  const socket = new NodeSocket(exchange);
  const request = createNodeRequest(exchange, socket);
  const response = createNodeResponse(exchange, request, socket);
  const breakOff = (): void => {
    socket.shut();
    if (!request.destroyed) request.destroy(connectionReset());
    closeNodeResponse(response);
  };
  exchange.onAbort = breakOff;
  socket.onDestroy = (error) => {
    if (!exchange.response.isSent)
      exchange.fail(error ?? new Error('The function destroyed the connection before it had answered.'));
    breakOff();
  };
  return { request, response };
}

/** What Node's server gives to a request whose client went away. */
function connectionReset(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}
