/** Containers of this installation whose platform does not live any more: found by their labels, whatever became of its records. */
import { asSandboxId, type SandboxId } from '../../contracts/ids.ts';
import type { DriverLog } from '../driver-log.ts';
import { isAlive, type ProcessIdentity } from '../process-identity.ts';
import { containerLabels } from './container-config.ts';
import { SERVICE_GRACE_SECONDS } from './service-config.ts';
import type { EngineContainers, ListedContainer } from './engine-containers.ts';

const REMOVE_MS = 9_000;

/** @returns ids of the sandboxes that were removed */
export async function removeLeftovers(options: {
  readonly containers: EngineContainers;
  readonly instance: string;
  readonly log: DriverLog;
}): Promise<readonly SandboxId[]> {
  const { containers, instance, log } = options;
  const all = await containers.list(`${containerLabels.instance}=${instance}`);
  const left = all.filter(({ Labels }) => !isPlatformAlive(Labels[containerLabels.platform] ?? ''));
  const removed = await Promise.all(
    left.map(async (container) => {
      try {
        if (container.Labels[containerLabels.service] !== undefined)
          await containers.stop(container.Id, SERVICE_GRACE_SECONDS);
        await containers.remove(container.Id, REMOVE_MS);
        return idOf(container);
      } catch (error) {
        // Its labels stay with it: the next start tries again.
        log.warn({ container: container.Id, err: error }, 'a left-over container could not be removed');
        return null;
      }
    }),
  );
  return removed.filter((id) => id !== null);
}

function isPlatformAlive(label: string): boolean {
  const [, pid, startTicks] = /^(\d{1,10}):(\d{1,20})$/.exec(label) ?? [];
  if (pid === undefined || startTicks === undefined) return false;
  return isAlive({ pid: Number(pid), startTicks } satisfies ProcessIdentity);
}

/** @returns null for a probe of the facts, which is no sandbox that anybody knows */
function idOf({ Labels }: ListedContainer): SandboxId | null {
  try {
    return asSandboxId(Labels[containerLabels.sandbox] ?? '');
  } catch {
    return null;
  }
}
