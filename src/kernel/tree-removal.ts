/** The one way in which directories are deleted: only below a root that the platform owns. */
import { rm } from 'node:fs/promises';
import { relative, resolve, sep } from 'node:path';

/**
 * Deletes `path` and all below it; symbolic links are deleted, not followed. A path that is not there is fine.
 * @throws RangeError when `path` is not strictly below `root`
 */
export async function removeTree(root: string, path: string): Promise<void> {
  const inside = relative(resolve(root), resolve(path));
  if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || resolve(inside) === inside)
    throw new RangeError('the path to delete does not lie under its root');
  await rm(resolve(path), { recursive: true, force: true, maxRetries: 2 });
}
