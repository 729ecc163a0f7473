/** Requests that wait for their turn behind others of the same connection (RFC 9112, 9.3.2) must hear when it is lost. */
import type { Socket } from 'node:net';

export interface PipelinedRequest {
  clientClosed(): void;
}

const waiting = new WeakMap<Socket, Set<PipelinedRequest>>();

/** One listener for each connection, however many requests wait in it. */
export function watchPipelined(socket: Socket, request: PipelinedRequest): void {
  const known = waiting.get(socket);
  if (known !== undefined) {
    known.add(request);
    return;
  }
  const requests = new Set([request]);
  waiting.set(socket, requests);
  socket.once('close', () => {
    for (const lost of requests) lost.clientClosed();
  });
}

export function unwatchPipelined(socket: Socket, request: PipelinedRequest): void {
  waiting.get(socket)?.delete(request);
}
