/** What one tenant has of the host: sandboxes against sandboxesPerTenant, waiting invocations against queue. */
import type { TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { RunnableGroup } from './runnable-group.ts';
import type { Sandbox } from './sandbox.ts';

export class TenantShare {
  readonly id: TenantId;
  readonly groups = new Set<RunnableGroup>();
  /** Claimed and not gone, those that drain included. */
  readonly sandboxes = new Set<Sandbox>();
  /** Ordered and not delivered. */
  ordered = 0;
  /** Invocations that wait without a sandbox on its way for them. */
  queued = 0;
  readonly #starved = new Set<RunnableGroup>();

  constructor(id: TenantId) {
    this.id = id;
  }

  get isEmpty(): boolean {
    return this.groups.size === 0 && this.sandboxes.size === 0;
  }

  hasRoom(limits: Limits): boolean {
    return this.sandboxes.size + this.ordered < limits.sandboxesPerTenant;
  }

  /** Ends the longest idle sandbox of another function. @returns false when none is idle */
  makeRoom(group: RunnableGroup): boolean {
    let idlest: Sandbox | null = null;
    for (const sandbox of this.sandboxes) {
      const isIdle = sandbox.state === 'ready' && sandbox.openCount === 0 && !group.has(sandbox);
      if (isIdle && (idlest === null || sandbox.restingSince < idlest.restingSince)) idlest = sandbox;
    }
    idlest?.retire();
    return idlest !== null;
  }

  /** After a lower sandboxesPerTenant: the surplus takes no new work, the least used first. */
  shrink(): void {
    const running = [...this.sandboxes].filter(({ state }) => state === 'ready' || state === 'loading');
    const limits = running[0]?.runnable?.limits();
    if (limits === undefined) return;
    const surplus = running.length - limits.sandboxesPerTenant;
    for (const sandbox of running.sort((one, other) => one.live - other.live).slice(0, Math.max(0, surplus)))
      sandbox.retire();
  }

  /** The group waits until the tenant has room. */
  starve(group: RunnableGroup): void {
    this.#starved.add(group);
  }

  /** Something of the tenant became idle or went: those that wait for room try again. */
  relieve(): void {
    if (this.#starved.size === 0) return;
    const starved = [...this.#starved];
    this.#starved.clear();
    for (const group of starved) group.scale();
  }
}
