/** The keeper's end of the connection to the platform: the mounted socket, or its standard streams. */
import { connect } from 'node:net';
import { Duplex } from 'node:stream';

/** In place of a socket's path (`STDIO_ARGUMENT` in drivers/docker/docker-options.ts). */
const STDIO = '-';

export function platformConnection(place: string): Duplex {
  if (place !== STDIO) return connect(place);
  return Duplex.from({ readable: process.stdin, writable: process.stdout });
}
