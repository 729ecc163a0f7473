/** Gives a sandbox the right to connect to its channel, and no other. */
import { chmod, chown } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The sandbox may look into its channel directory and connect, but make nothing there.
 * @param uid of the sandbox (and gid of the same number); null: the platform's own user, who may already
 */
export async function giveChannel(channelDir: string, uid: number | null): Promise<void> {
  if (uid === null) return;
  const socket = join(channelDir, 'channel.sock');
  await chown(channelDir, 0, uid);
  await chmod(channelDir, 0o750);
  await chown(socket, 0, uid);
  await chmod(socket, 0o660);
}
