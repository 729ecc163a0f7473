import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ConfigError } from '../config/config-error.ts';
import { PublicSocket } from './public-socket.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
});

function open(port = 0, host = '127.0.0.1'): PublicSocket {
  const socket = new PublicSocket({ host, port });
  cleanups.push(() => socket.close());
  return socket;
}

/** A process that has it as descriptor 3 and says its name to whoever connects. */
async function serve(socket: PublicSocket, name: string): Promise<ChildProcess> {
  const code = `require('net').createServer((client) => client.end('${name}')).listen({ fd: 3 }, () => console.log('listens'))`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit', socket.fd] });
  cleanups.push(() => void child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function call(socket: PublicSocket, host = '127.0.0.1'): Socket {
  const client = connect(socket.address.port, host);
  cleanups.push(() => void client.destroy());
  return client.setEncoding('utf8');
}

async function refusal(client: Socket): Promise<string> {
  const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException];
  return error.code ?? '';
}

describe('the public socket', () => {
  it('refuses until a server listens', async () => {
    const socket = open();
    expect(await refusal(call(socket))).toBe('ECONNREFUSED');
  });

  it.each([
    ['0.0.0.0', '127.0.0.1'],
    ['::', '127.0.0.1'],
    ['::', '::1'],
    ['localhost', '127.0.0.1'],
  ])('on %s, a server is reached at %s', async (host, target) => {
    const socket = open(0, host);
    await serve(socket, 'first');
    expect(await once(call(socket, target), 'data')).toEqual(['first']);
  });

  it('lets who calls between two servers wait for the second', async () => {
    const socket = open();
    await end(await serve(socket, 'first'));
    const waiting = call(socket);
    await once(waiting, 'connect');
    const [said] = await Promise.all([once(waiting, 'data'), serve(socket, 'second')]);
    expect(said).toEqual(['second']);
  });

  it('once closed is its server’s alone: nobody waits for a second one', async () => {
    const socket = open();
    const server = await serve(socket, 'last');
    const address = socket.address;
    socket.close();
    socket.close();
    await end(server);
    expect(await refusal(connect(address.port, '127.0.0.1'))).toBe('ECONNREFUSED');
  });

  it('says in words that the port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => void server.close());
    const { port } = server.address() as { port: number };
    expect(() => open(port)).toThrow(ConfigError);
    expect(() => open(port)).toThrow(
      `port: cannot listen on 127.0.0.1:${port} (EADDRINUSE). Stop what listens there`,
    );
  });
});
