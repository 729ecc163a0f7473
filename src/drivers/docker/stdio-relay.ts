/**
 * The channel where a socket cannot be mounted (Docker Desktop, an engine on another machine, Berth in a container): the
 * runtime speaks frames on its descriptors 0 and 1, the engine carries them, and this relay speaks for the sandbox on the
 * socket that the platform listens on.
 */
import { connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { AttachedOutput } from './attached-stream.ts';

export interface StdioRelay {
  close(): void;
}

/**
 * @param attached the container's standard input and output
 * @throws Error when nobody listens on `socketPath`, or the container has ended already
 */
export async function relayStdio(attached: Socket, socketPath: string): Promise<StdioRelay> {
  const channel = connect(socketPath);
  // Frames wait in the kernel until the platform reads: pausing one side pauses the other.
  await new Promise<void>((resolve, reject) => {
    channel.once('connect', resolve);
    channel.once('error', reject);
  });
  if (attached.destroyed || attached.readableEnded) {
    channel.destroy();
    throw new Error('the container ended before its channel was there');
  }
  const close = (): void => {
    channel.destroy();
    attached.destroy();
  };
  // Either side's end, in whatever way, is the end of the sandbox; its exit is told by the engine.
  pipeline(attached, new AttachedOutput(), channel, close);
  pipeline(channel, attached, close);
  return { close };
}
