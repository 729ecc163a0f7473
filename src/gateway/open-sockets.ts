/**
 * Every connection of a server. `closeAllConnections` of Node passes over those that were upgraded, and a caller that does
 * not end its side of one would hold up a server that stops for as long as it likes.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** To be called before the server listens. @returns a function that ends all connections that are open then */
export function trackSockets(server: Server): () => void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}
