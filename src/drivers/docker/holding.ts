/** What the driver keeps of one sandbox or service, from the order to the last trace. */
import type { VolumeId } from '../../contracts/ids.ts';
import type { SandboxLimits, SandboxSpec } from '../driver.ts';
import type { ContainerSandbox } from './container-sandbox.ts';

/** Between two attempts to kill or remove what the engine did not let go: it may be away for minutes. */
const AGAIN_MS = 10_000;

/** What is there of one sandbox or service; filled as it is made, emptied when it has ended. */
export interface Holding {
  readonly spec: Pick<SandboxSpec, 'id' | 'channelDir'>;
  limits: SandboxLimits;
  /** Of a service. */
  readonly volume: VolumeId | null;
  /** Of the pool. */
  uid: number | null;
  sandbox: ContainerSandbox | null;
  /** Settles when nothing of it is left; a new one after each failure. */
  gone: PromiseWithResolvers<void>;
  isStuck: boolean;
  isDoomed: boolean;
  isCreated: boolean;
  /** The kill failed, and comes again. */
  isKillDue: boolean;
}

/** Keeps no process alive: the next start removes what is left. */
export function later(work: () => void): void {
  setTimeout(work, AGAIN_MS).unref();
}

export function newGone(): PromiseWithResolvers<void> {
  const gone = Promise.withResolvers<void>();
  gone.promise.catch(() => undefined);
  return gone;
}

export function newHolding(
  spec: Holding['spec'],
  limits: SandboxLimits,
  volume: VolumeId | null = null,
): Holding {
  return {
    spec,
    limits,
    volume,
    uid: null,
    sandbox: null,
    gone: newGone(),
    isStuck: false,
    isDoomed: false,
    isCreated: false,
    isKillDue: false,
  };
}

export function stopIfDoomed(holding: Holding): void {
  if (holding.isDoomed) throw new Error('destroyed while it was being made');
}
