/** Where frames come in and go out: one socket that the host listens on, or descriptors 0 and 1 where none can be mounted. */
import fs from 'node:fs';
import net from 'node:net';

/** What the runtime is told in place of a path: speak on descriptors 0 and 1. */
export const STDIO = '-';

export interface ChannelEnds {
  readonly input: net.Socket;
  readonly output: net.Socket;
}

type OnRead = NonNullable<net.TcpNetConnectOpts['onread']>;

export function connectSocket(path: string, onread: OnRead): ChannelEnds {
  const socket = net.createConnection({ path, onread });
  return { input: socket, output: socket };
}

/**
 * Tenants' code and its child processes may write to descriptor 1 and read from 0: the pipes behind them are opened once
 * more under other numbers (man 5 proc, /proc/pid/fd), and /dev/null takes their places.
 */
export function takeStdio(onread: OnRead): ChannelEnds {
  const input = moveAway(0, 'r');
  const output = moveAway(1, 'w');
  return {
    // `onread` is an option of the constructor, too; the types know it of `connect` alone.
    input: new net.Socket({
      fd: input,
      readable: true,
      writable: false,
      onread,
    } as net.SocketConstructorOpts),
    output: new net.Socket({ fd: output, readable: false, writable: true }),
  };
}

/** @returns the descriptor's new number; open(2) gives the lowest free one, so that /dev/null gets the old */
function moveAway(descriptor: number, flags: 'r' | 'w'): number {
  const moved = fs.openSync(`/proc/self/fd/${descriptor}`, flags);
  fs.closeSync(descriptor);
  fs.openSync('/dev/null', flags);
  return moved;
}
