/** The sandboxes of one runnable and who waits for them: chooses, queues, scales out, remembers a failed load. */
import { BerthError, toBerthError } from '../contracts/errors.ts';
import type { Limits } from '../contracts/limits.ts';
import { withDeadline } from '../kernel/deadline.ts';
import type { SandboxLease } from './lease.ts';
import type { Order } from './order-book.ts';
import type { Claimant } from './sandbox-keeper.ts';
import type { Sandbox } from './sandbox.ts';
import type { Lease, Runnable } from './sandboxes.ts';
import type { Mould, Moulds } from './mould.ts';
import type { SandboxServices } from './services.ts';
import type { Supply } from './supply.ts';
import type { TenantShare } from './tenant-share.ts';
import { endingOf, type Ending } from './verdict.ts';
import { Waiter } from './waiter.ts';

export interface GroupOptions {
  readonly runnable: Runnable;
  readonly share: TenantShare;
  readonly supply: Supply;
  readonly moulds: Moulds;
  readonly services: SandboxServices;
  /** Invocations that wait on the whole platform; counted here. */
  readonly counts: { waiting: number; claimed: number };
  /** An open sandbox has nothing to do. */
  readonly onRest: (sandbox: Sandbox) => void;
  /** It remembers a failure: `sweep` it now and then. */
  readonly onFailing: (group: RunnableGroup) => void;
  /** It may be forgotten: nothing runs, nobody waits, no failure is remembered. */
  readonly onUnused: (group: RunnableGroup) => void;
}

/** A revision that did not load is not tried again within this time: a broken function must not burn the pool. */
const FAILURE_MS = 1_000;
/** Between two attempts to replace a stale sandbox when the new one did not start or load. */
const RENEW_RETRY_MS = 10_000;
/** Reading a revision from the store. */
const READ_MS = 10_000;
const QUIET: ReadonlySet<Ending['reason']> = new Set([
  'idle',
  'retired',
  'evicted',
  'surplus',
  'TENANT_SUSPENDED',
]);

export class RunnableGroup implements Claimant {
  readonly runnable: Runnable;
  readonly share: TenantShare;
  readonly #options: GroupOptions;
  /** Those that take work: the revision was sent to them. */
  readonly #open: Sandbox[] = [];
  /** Claimed, the revision not sent yet. */
  readonly #claimed = new Set<Sandbox>();
  readonly #orders = new Set<Order>();
  readonly #waiters = new Set<Waiter>();
  #coldSince: number | null = null;
  #failure: { readonly error: BerthError; readonly until: number } | null = null;
  #isRetired = false;
  /** What comes in place of a stale sandbox: ordered, then claimed, until it has loaded. */
  #replacement: Order | Sandbox | null = null;
  #renewableAt = 0;

  constructor(options: GroupOptions) {
    this.#options = options;
    this.runnable = options.runnable;
    this.share = options.share;
  }

  /** A place at once; the warm path. Who waits already comes first. */
  tryLease(concurrency: number): SandboxLease | null {
    if (this.#waiters.size > 0) return null;
    return this.#idlest(concurrency)?.lease() ?? null;
  }

  /** @throws BerthError the failure of a load a moment ago, QUEUE_FULL, that its kind is not to be had; else as `Sandboxes.acquire` */
  wait(signal: AbortSignal): Promise<Lease> {
    const limits = this.runnable.limits();
    const failure = this.#freshFailure();
    if (failure !== null && this.#size === 0) return Promise.reject(failure);
    const refusal = this.#refusal();
    if (refusal !== null && this.#size === 0) {
      this.#checkUnused();
      return Promise.reject(refusal);
    }
    this.#coldSince ??= this.#options.services.clock.monotonic();
    this.#scaleFor(this.#waiters.size + 1, limits);
    // Delivered from the pool, with the code at hand: nobody waits at all.
    const isCovered = this.#waiters.size < this.#arriving * limits.concurrencyPerSandbox;
    if (!isCovered && this.share.queued >= limits.queue) {
      this.#checkUnused();
      return Promise.reject(new BerthError('QUEUE_FULL', { name: 'queue', limit: limits.queue }));
    }
    return this.#enqueue(signal, limits, !isCovered);
  }

  has(sandbox: Sandbox): boolean {
    return this.#claimed.has(sandbox) || this.#open.includes(sandbox);
  }

  /** Starts sandboxes for those that wait, as far as the limits allow. */
  scale(): void {
    this.#scaleFor(this.#waiters.size, this.runnable.limits());
  }

  /** Gives free places to those that wait. */
  serve(): void {
    if (this.#waiters.size === 0) return;
    const { concurrencyPerSandbox } = this.runnable.limits();
    for (const waiter of this.#waiters) {
      const sandbox = this.#idlest(concurrencyPerSandbox);
      if (sandbox === null) return;
      this.#reportWait(waiter);
      waiter.serve(sandbox.lease());
    }
  }

  /** Out of date: those that wait are still served, then its sandboxes drain. */
  retire(): void {
    this.#isRetired = true;
    if (this.#waiters.size > 0) return;
    for (const sandbox of this.#claimed) sandbox.retire();
    this.#retireOpen();
  }

  /** Ends it with all its sandboxes and who waits. */
  evict(error: BerthError): void {
    this.#failWaiters(error);
    this.#cancelOrders();
    for (const sandbox of [...this.#claimed, ...this.#open]) sandbox.end(endingOf(error));
  }

  /** After a change of limits or isolation: surplus sandboxes go, those of another mould are replaced, more may come. */
  adapt(): void {
    const limits = this.runnable.limits();
    for (const sandbox of this.#stale()) sandbox.retire();
    while (this.#open.length > limits.sandboxesPerFunction) this.#leastUsed()?.retire();
    this.serve();
    this.scale();
  }

  /**
   * What sandboxes are made of has changed. Those of the old mould go one after the other, each when its replacement has
   * loaded, so that no request waits; the tenant may have one sandbox more than it should meanwhile. Called now and then
   * until it is done: a replacement may fail. @returns false when nothing of the old mould is left
   */
  renew(): boolean {
    const { key } = this.#mould();
    // Where nothing can take their place, they serve on.
    if (this.#isRetired || this.#refusal() !== null) return false;
    if (![...this.#open, ...this.#claimed].some((sandbox) => sandbox.mould.key !== key)) return false;
    const isDue = this.#options.services.clock.monotonic() >= this.#renewableAt;
    if (this.#replacement === null && isDue && this.#stale().length > 0) this.#order(true);
    return true;
  }

  /** Forgets an old failure; called now and then. */
  sweep(): void {
    if (this.#freshFailure() !== null) return;
    this.#failure = null;
    this.scale();
    this.#checkUnused();
  }

  get hasFailure(): boolean {
    return this.#failure !== null;
  }

  loaded(sandbox: Sandbox): void {
    if (sandbox === this.#replacement) {
      this.#replacement = null;
      this.#stale()[0]?.retire();
      this.renew();
    }
    if (this.#coldSince === null) return;
    const { clock, onEvent } = this.#options.services;
    const { tenant, fn } = this.runnable;
    onEvent({ kind: 'cold-start', tenant, fn, ms: clock.monotonic() - this.#coldSince });
    this.#coldSince = null;
  }

  withdrawn(sandbox: Sandbox): void {
    this.#claimed.delete(sandbox);
    const index = this.#open.indexOf(sandbox);
    if (index >= 0) this.#open.splice(index, 1);
  }

  ended(sandbox: Sandbox, { reason, error }: Ending): void {
    this.#options.counts.claimed -= 1;
    this.share.sandboxes.delete(sandbox);
    this.#notReplaced(sandbox);
    if (!sandbox.isLoaded && !QUIET.has(reason)) this.#loadFailed(error);
    this.scale();
    this.share.relieve();
    this.#checkUnused();
  }

  // --- places

  get #size(): number {
    return this.#open.length + this.#arriving;
  }

  get #arriving(): number {
    return this.#orders.size + this.#claimed.size;
  }

  #idlest(concurrency: number): Sandbox | null {
    let best: Sandbox | null = null;
    let fewest = concurrency;
    for (const sandbox of this.#open) {
      if (sandbox.live >= fewest) continue;
      best = sandbox;
      fewest = sandbox.live;
      if (fewest === 0) break;
    }
    return best;
  }

  #mould(): Mould {
    return this.#options.moulds.of(this.runnable.kind(), this.runnable.limits());
  }

  #refusal(): BerthError | null {
    return this.#options.moulds.refusal(this.runnable.kind(), this.runnable.nodeRange);
  }

  /** Open ones that new ones would not be like. */
  #stale(): Sandbox[] {
    const { key } = this.#mould();
    return this.#open.filter((sandbox) => sandbox.mould.key !== key);
  }

  #leastUsed(): Sandbox | null {
    return this.#idlest(Number.POSITIVE_INFINITY);
  }

  #retireOpen(): void {
    for (const sandbox of this.#open.slice()) sandbox.retire();
  }

  // --- waiting

  #enqueue(signal: AbortSignal, { queueMs }: Limits, isQueued: boolean): Promise<Lease> {
    const { clock } = this.#options.services;
    const onEnd = (ended: Waiter): void => this.#leaveQueue(ended);
    const waiter = new Waiter({ clock, signal, queueMs, isQueued, onEnd });
    this.#waiters.add(waiter);
    this.#options.counts.waiting += 1;
    if (isQueued) this.share.queued += 1;
    this.serve();
    return waiter.lease;
  }

  #leaveQueue(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    this.#options.counts.waiting -= 1;
    if (waiter.isQueued) this.share.queued -= 1;
    if (this.#waiters.size > 0) return;
    // A replacement was not ordered for those that waited.
    for (const order of this.#orders)
      if (order !== this.#replacement || this.#isRetired) this.#cancelOrder(order);
    if (this.#isRetired) this.#retireOpen();
    this.#checkUnused();
  }

  #failWaiters(error: BerthError): void {
    for (const waiter of this.#waiters) waiter.fail(error);
  }

  #reportWait(waiter: Waiter): void {
    const { clock, onEvent } = this.#options.services;
    onEvent({ kind: 'queue-wait', tenant: this.runnable.tenant, ms: clock.monotonic() - waiter.since });
  }

  // --- starting

  #scaleFor(waiting: number, limits: Limits): void {
    const places = limits.concurrencyPerSandbox;
    if (this.#freshFailure() !== null || this.#refusal() !== null) return;
    while (waiting > this.#arriving * places && this.#size < limits.sandboxesPerFunction) {
      if (!this.#hasRoom(limits)) {
        this.share.starve(this);
        return;
      }
      this.#order();
    }
  }

  /** A function without any sandbox may take the place of an idle one of another function of its tenant. */
  #hasRoom(limits: Limits): boolean {
    if (this.share.hasRoom(limits)) return true;
    return this.#size === 0 && this.share.makeRoom(this) && this.share.hasRoom(limits);
  }

  #order(isReplacement = false): void {
    const order: Order = {
      tenant: this.runnable.tenant,
      mould: this.#mould(),
      deliver: (sandbox, wasBlank) => this.#delivered(order, sandbox, wasBlank),
      fail: (error) => this.#startFailed(order, error),
    };
    this.#orders.add(order);
    this.share.ordered += 1;
    if (isReplacement) this.#replacement = order;
    this.#options.supply.place(order);
  }

  #cancelOrders(): void {
    for (const order of this.#orders) this.#cancelOrder(order);
  }

  #cancelOrder(order: Order): void {
    this.#options.supply.cancel(order);
    this.#dropOrder(order);
    this.#notReplaced(order);
  }

  #dropOrder(order: Order): void {
    if (this.#orders.delete(order)) this.share.ordered -= 1;
  }

  #delivered(order: Order, sandbox: Sandbox, wasBlank: boolean): void {
    const { counts, services } = this.#options;
    const { tenant, fn } = this.runnable;
    this.#dropOrder(order);
    if (this.#replacement === order) this.#replacement = sandbox;
    this.#claimed.add(sandbox);
    this.share.sandboxes.add(sandbox);
    counts.claimed += 1;
    services.onEvent({ kind: 'claimed', tenant, fn, wasBlank });
    sandbox.claim(this.runnable, this);
    void this.#load(sandbox);
  }

  /** Never rejects. */
  async #load(sandbox: Sandbox): Promise<void> {
    try {
      const payload = await withDeadline(this.#options.services.clock, READ_MS, this.runnable.load());
      // No tenant's code under other limits than its own. One that cannot be limited has ended, and said so.
      if (sandbox.limiting !== null) await sandbox.limiting.catch(() => undefined);
      if (!this.#claimed.delete(sandbox)) return;
      sandbox.load(payload);
      this.#open.push(sandbox);
      this.serve();
      if (this.#isRetired && this.#waiters.size === 0) sandbox.retire();
      else if (sandbox.openCount === 0) this.#options.onRest(sandbox);
    } catch (error) {
      this.#options.services.log.error(
        { err: error, key: this.runnable.key },
        'a revision could not be read',
      );
      sandbox.end(endingOf(toBerthError(error)));
    }
  }

  #startFailed(order: Order, error: BerthError): void {
    this.#dropOrder(order);
    this.#notReplaced(order);
    if (this.#size === 0) this.#failWaiters(error);
    this.#checkUnused();
  }

  /** The stale one serves on; the next attempt comes after a while. */
  #notReplaced(replacement: Order | Sandbox): void {
    if (this.#replacement !== replacement) return;
    this.#replacement = null;
    this.#renewableAt = this.#options.services.clock.monotonic() + RENEW_RETRY_MS;
  }

  #loadFailed(error: BerthError): void {
    const { clock } = this.#options.services;
    this.#failure = { error, until: clock.monotonic() + FAILURE_MS };
    this.#coldSince = null;
    this.#options.onFailing(this);
    if (this.#open.some((sandbox) => sandbox.isLoaded)) return;
    this.#failWaiters(error);
  }

  #freshFailure(): BerthError | null {
    const failure = this.#failure;
    return failure !== null && failure.until > this.#options.services.clock.monotonic()
      ? failure.error
      : null;
  }

  #checkUnused(): void {
    if (this.#size === 0 && this.#waiters.size === 0 && this.#freshFailure() === null)
      this.#options.onUnused(this);
  }
}
