import type { AddressInfo, Server } from 'node:net';

/** Lets a server listen on the loopback. @returns its port */
export async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
