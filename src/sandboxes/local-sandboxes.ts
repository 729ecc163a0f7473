/** The sandboxes of this host: brings pool, groups, watchdog and reaper together behind `Sandboxes`. */
import { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { DriverFacts } from '../drivers/driver.ts';
import { DeadlinePassed, withDeadline } from '../kernel/deadline.ts';
import { Freezer } from './freezer.ts';
import { Moulds } from './mould.ts';
import { Reaper } from './reaper.ts';
import { RunnableGroup } from './runnable-group.ts';
import type { LoadedWell, SandboxKeeper } from './sandbox-keeper.ts';
import { Sandbox } from './sandbox.ts';
import type { SandboxPlan } from './sandbox-plan.ts';
import type { Lease, Runnable, Sandboxes, SandboxStats } from './sandboxes.ts';
import type { PoolSettings, SandboxServices } from './services.ts';
import { SourcePlaces } from './source-places.ts';
import { Supply } from './supply.ts';
import { TenantShare } from './tenant-share.ts';
import { endingOf, type Ending } from './verdict.ts';
import { Watchdog } from './watchdog.ts';

export interface SandboxesOptions extends SandboxServices {
  readonly pool: PoolSettings;
  /** The driver's, of now. */
  readonly facts: DriverFacts;
  /** sandboxes on this host at the same time, blank ones included */
  readonly maxSandboxes: number;
}

/** How often `drain` looks whether all work has ended. */
const DRAIN_LOOK_MS = 20;
/** How long a rollout waits for the pool of new sandboxes, so that replacements are at hand. */
const REFILL_MS = 10_000;
/** Between two attempts to remove what the driver failed to remove. */
const REMOVE_AGAIN_MS = 10_000;
/** How long the destruction of all sandboxes may take; then the platform leaves them to the driver's `close`. */
const REMOVE_ALL_MS = 15_000;

/** Starts to fill the pool at once. The driver has recovered, its listener is free, and `runDir` exists. */
export function createSandboxes(options: SandboxesOptions): Sandboxes {
  return new LocalSandboxes(options);
}

class LocalSandboxes implements Sandboxes, SandboxKeeper {
  readonly #options: SandboxesOptions;
  readonly #all = new Map<string, Sandbox>();
  readonly #groups = new Map<string, RunnableGroup>();
  readonly #failing = new Set<RunnableGroup>();
  /** Sandboxes that the driver could not remove, and when it is asked again. */
  readonly #stuck = new Map<Sandbox, number>();
  readonly #shares = new Map<TenantId, TenantShare>();
  readonly #counts = { waiting: 0, claimed: 0, inFlight: 0 };
  readonly #moulds: Moulds;
  readonly #supply: Supply;
  readonly #watchdog: Watchdog;
  readonly #freezer: Freezer;
  readonly #reaper: Reaper;
  readonly #places: SourcePlaces;
  #isDraining = false;
  /** Some sandboxes are of an old mould. */
  #isRenewing = false;

  constructor(options: SandboxesOptions) {
    this.#options = options;
    this.#places = new SourcePlaces(options.clock);
    this.#watchdog = new Watchdog(options);
    this.#freezer = new Freezer(options);
    this.#reaper = new Reaper({
      clock: options.clock,
      freeze: (sandbox) => this.#freeze(sandbox),
      also: () => this.#sweep(),
    });
    this.#moulds = new Moulds(options.facts);
    this.#supply = new Supply({
      services: options,
      moulds: this.#moulds,
      pool: options.pool,
      maxSandboxes: options.maxSandboxes,
      make: (plan) => this.#make(plan),
      evictIdle: () => this.#evictIdle(),
    });
    options.driver.onExit((exit) => this.#all.get(exit.id)?.exited(exit));
    this.#supply.fill();
  }

  tryAcquire(runnable: Runnable): Lease | null {
    if (this.#isDraining) return null;
    const group = this.#groups.get(runnable.key);
    return group === undefined ? null : group.tryLease(runnable.limits().concurrencyPerSandbox);
  }

  async acquire(runnable: Runnable, signal: AbortSignal): Promise<Lease> {
    if (this.#isDraining) throw new BerthError('SHUTTING_DOWN');
    signal.throwIfAborted();
    return this.tryAcquire(runnable) ?? this.#groupOf(runnable).wait(signal);
  }

  retire(key: string): void {
    const group = this.#groups.get(key);
    if (group === undefined) return;
    this.#groups.delete(key);
    group.retire();
  }

  async applyLimits(tenant: TenantId): Promise<void> {
    this.#options.egress.recheck(tenant);
    const share = this.#shares.get(tenant);
    if (share === undefined) return;
    const changes = [...share.sandboxes].map((sandbox) => sandbox.applyLimits());
    for (const group of share.groups) group.adapt();
    share.shrink();
    share.relieve();
    // One that could not be changed was killed: no sandbox is left with the old limits.
    await Promise.allSettled(changes);
  }

  async evict(tenant: TenantId): Promise<void> {
    const share = this.#shares.get(tenant);
    if (share === undefined) return;
    const error = new BerthError('TENANT_SUSPENDED');
    const sandboxes = [...share.sandboxes];
    for (const group of share.groups) group.evict(error);
    for (const sandbox of sandboxes) sandbox.end(endingOf(error, 'evicted'));
    await this.#removed(sandboxes);
  }

  facts(): DriverFacts {
    return this.#moulds.facts;
  }

  async rollout(): Promise<DriverFacts> {
    const facts = await this.#refreshed();
    this.#moulds.renew(facts);
    this.#supply.renew();
    const { clock } = this.#options;
    const end = clock.monotonic() + REFILL_MS;
    while (!this.#supply.isFull && !this.#isDraining && clock.monotonic() < end)
      await new Promise<void>((resolve) => {
        clock.after(DRAIN_LOOK_MS, resolve);
      });
    // Those in use are still good: they stay until new ones start.
    this.#isRenewing = true;
    if (this.#supply.isFailing) throw new BerthError('SANDBOX_START_FAILED');
    this.#renewGroups();
    return facts;
  }

  /** @throws BerthError SANDBOX_START_FAILED when the driver cannot say what there is now; then nothing has changed */
  async #refreshed(): Promise<DriverFacts> {
    const { driver, log } = this.#options;
    try {
      return await driver.refresh();
    } catch (error) {
      log.error({ err: error }, 'a rollout failed: the driver is what it was');
      throw new BerthError('SANDBOX_START_FAILED', {}, { cause: error });
    }
  }

  #renewGroups(): void {
    let isLeft = false;
    for (const share of this.#shares.values())
      for (const group of share.groups) if (group.renew()) isLeft = true;
    this.#isRenewing = isLeft;
  }

  isReady(): boolean {
    return !this.#isDraining && this.#supply.isReady;
  }

  stats(): SandboxStats {
    const { claimed, inFlight, waiting } = this.#counts;
    const { blankCount, startingCount } = this.#supply;
    return {
      blank: blankCount,
      starting: startingCount,
      claimed,
      frozen: this.#freezer.size,
      ending: this.#all.size - blankCount - startingCount - claimed,
      inFlight,
      waiting,
    };
  }

  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true;
    const { clock } = this.#options;
    const end = clock.monotonic() + graceMs;
    while (this.#counts.inFlight + this.#counts.waiting > 0 && clock.monotonic() < end)
      await new Promise<void>((resolve) => {
        clock.after(Math.min(DRAIN_LOOK_MS, end - clock.monotonic()), resolve);
      });
    const error = new BerthError('SHUTTING_DOWN');
    const sandboxes = [...this.#all.values()];
    for (const share of this.#shares.values()) for (const group of share.groups) group.evict(error);
    this.#supply.close();
    for (const sandbox of sandboxes) sandbox.end(endingOf(error, 'evicted'));
    await this.#removed(sandboxes);
    this.#reaper.close();
    this.#watchdog.close();
  }

  // --- what sandboxes say

  offered(sandbox: Sandbox): void {
    this.#supply.offered(sandbox);
  }

  leased(sandbox: Sandbox): void {
    this.#counts.inFlight += 1;
    if (sandbox.live === 1) {
      this.#reaper.wake(sandbox);
      this.#freezer.thaw(sandbox);
    }
    this.#watchdog.begin(sandbox);
  }

  freed(sandbox: Sandbox): void {
    this.#counts.inFlight -= 1;
    const { claimant, state } = sandbox;
    if (claimant === null || state === 'gone') return;
    claimant.serve();
    if (sandbox.live > 0 || state === 'draining') return;
    this.#rest(sandbox);
    claimant.share.relieve();
  }

  loaded(sandbox: Sandbox, { form, bytecode }: LoadedWell): void {
    this.#supply.loaded(form);
    if (bytecode !== undefined) this.#options.onEvent({ kind: 'bytecode', outcome: bytecode });
    sandbox.claimant?.loaded(sandbox);
    if (sandbox.openCount > 0) this.#watchdog.begin(sandbox);
  }

  ponged(sandbox: Sandbox, nonce: number): void {
    this.#watchdog.ponged(sandbox, nonce);
  }

  stranded(sandbox: Sandbox): void {
    this.#reaper.stranded(sandbox);
  }

  withdrawn(sandbox: Sandbox): void {
    this.#supply.withdrawn(sandbox);
    this.#reaper.withdrawn(sandbox);
    sandbox.claimant?.withdrawn(sandbox);
  }

  ended(sandbox: Sandbox, ending: Ending): void {
    const { onEvent, log } = this.#options;
    this.#watchdog.forget(sandbox);
    this.#reaper.forget(sandbox);
    this.#freezer.forget(sandbox);
    log.debug(
      { sandbox: sandbox.id, tenant: sandbox.runnable?.tenant, reason: ending.reason },
      'a sandbox ended',
    );
    onEvent({ kind: 'ended', tenant: sandbox.runnable?.tenant ?? null, reason: ending.reason });
    sandbox.claimant?.ended(sandbox, ending);
    this.#supply.ended(sandbox, ending);
    void this.#remove(sandbox);
  }

  // --- parts

  #make(plan: Omit<SandboxPlan, 'places'>): Sandbox {
    const sandbox = new Sandbox(this.#options, this, { ...plan, places: this.#places });
    this.#all.set(sandbox.id, sandbox);
    return sandbox;
  }

  #rest(sandbox: Sandbox): void {
    this.#reaper.rest(sandbox);
    if (this.#supply.isStarved) this.#supply.fill();
  }

  /** Not one that still owes a pong: the watchdog would take it for blocked. */
  #freeze(sandbox: Sandbox): void {
    const { canFreeze } = this.#moulds.facts.runtimes[sandbox.mould.kind.isolation] ?? { canFreeze: false };
    const isAtRest = sandbox.state === 'ready' && sandbox.isLoaded && sandbox.openCount === 0;
    if (canFreeze && isAtRest && !this.#watchdog.watches(sandbox)) this.#freezer.freeze(sandbox);
  }

  #evictIdle(): boolean {
    const { idlest } = this.#reaper;
    idlest?.end(endingOf(new BerthError('SHUTTING_DOWN'), 'evicted'));
    return idlest !== null;
  }

  #groupOf(runnable: Runnable): RunnableGroup {
    const known = this.#groups.get(runnable.key);
    if (known !== undefined) return known;
    const share = this.#shares.get(runnable.tenant) ?? new TenantShare(runnable.tenant);
    this.#shares.set(runnable.tenant, share);
    const group = new RunnableGroup({
      runnable,
      share,
      supply: this.#supply,
      moulds: this.#moulds,
      services: this.#options,
      counts: this.#counts,
      onRest: (sandbox) => this.#rest(sandbox),
      onFailing: (failing) => this.#failing.add(failing),
      onUnused: (unused) => this.#forget(unused),
    });
    share.groups.add(group);
    this.#groups.set(runnable.key, group);
    return group;
  }

  #forget(group: RunnableGroup): void {
    const { runnable, share } = group;
    share.groups.delete(group);
    if (this.#groups.get(runnable.key) === group) this.#groups.delete(runnable.key);
    if (share.isEmpty && this.#shares.get(share.id) === share) this.#shares.delete(share.id);
  }

  #sweep(): void {
    for (const group of this.#failing) {
      group.sweep();
      if (!group.hasFailure) this.#failing.delete(group);
    }
    if (this.#isRenewing) this.#renewGroups();
    this.#removeStuck();
    this.#supply.shrink();
    this.#supply.fill();
  }

  /** Its place on the host is free when nothing of it is left there, however long the driver fails. Never rejects. */
  async #remove(sandbox: Sandbox): Promise<void> {
    const { clock, log } = this.#options;
    try {
      await sandbox.remove();
      this.#all.delete(sandbox.id);
      this.#supply.removed(sandbox);
    } catch (error) {
      log.error({ err: error, sandbox: sandbox.id }, 'a sandbox was not removed');
      this.#stuck.set(sandbox, clock.monotonic() + REMOVE_AGAIN_MS);
    }
  }

  #removeStuck(): void {
    const now = this.#options.clock.monotonic();
    for (const [sandbox, due] of this.#stuck) {
      if (due > now) continue;
      this.#stuck.delete(sandbox);
      void this.#remove(sandbox);
    }
  }

  /** A sandbox that cannot be removed was logged; the driver's `close` and `recover` are the last resort. */
  async #removed(sandboxes: readonly Sandbox[]): Promise<void> {
    const all = Promise.allSettled(sandboxes.map((sandbox) => sandbox.whenRemoved));
    await withDeadline(this.#options.clock, REMOVE_ALL_MS, all).catch((error: unknown) => {
      if (!(error instanceof DeadlinePassed)) throw error;
      this.#options.log.error({ sandboxes: sandboxes.length }, 'sandboxes were not removed in time');
    });
  }
}
