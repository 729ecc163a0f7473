/** Two connected Unix sockets, as supervisor and server have them. */
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';

export async function socketPair(): Promise<[Socket, Socket]> {
  const path = `\0berth-pair-${randomBytes(8).toString('hex')}`;
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = connect(path);
  await new Promise((resolve) => client.once('connect', resolve));
  const pair: [Socket, Socket] = [client, await accepted];
  server.close();
  return pair;
}
