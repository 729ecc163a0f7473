/**
 * Makes sandboxes: for requests that wait (orders) and, after those, for the pool of blank ones. A blank sandbox goes to
 * the first order of its mould, whatever it was started for, so nobody ever queues behind a refill.
 */
import { BerthError } from '../contracts/errors.ts';
import type { Form } from '../contracts/forms.ts';
import type { SandboxKind } from '../drivers/driver.ts';
import type { Mould, Moulds } from './mould.ts';
import { type Order, OrderBook } from './order-book.ts';
import type { SandboxPlan } from './sandbox-plan.ts';
import type { Sandbox } from './sandbox.ts';
import { SideKinds } from './side-kinds.ts';
import { StartBackoff } from './start-backoff.ts';
import type { PoolSettings, SandboxServices } from './services.ts';
import type { Ending } from './verdict.ts';

export interface SupplyOptions {
  readonly services: SandboxServices;
  readonly pool: PoolSettings;
  /** sandboxes of all kinds on this host, those that are being destroyed included */
  readonly maxSandboxes: number;
  readonly moulds: Moulds;
  readonly make: (plan: Omit<SandboxPlan, 'places'>) => Sandbox;
  /** Ends the sandbox that has been idle for longest. @returns false when none is idle */
  readonly evictIdle: () => boolean;
}

/** A start that takes longer is not relied upon: who waits for it gets another. */
const SLOW_START_MS = 1_000;
/** From a claim to the start of what replaces it in the pool. */
const REFILL_PAUSE_MS = 15;
/** Weight of the newest function in the share of the form `fetch`. */
const NEWEST_WEIGHT = 0.1;
/** Node's Fetch costs a blank sandbox 4 MB; where hardly a function is of its form, the first one waits 20 ms for it instead. */
const LEAST_FETCH_SHARE = 0.05;
/** A pool that grew shrinks by one for each such time without a claim. */
const CALM_MS = 10_000;
/** Blank sandboxes of each kind other than the default one that was asked for of late. */
const SIDE_BLANK = 2;

export class Supply {
  readonly #options: SupplyOptions;
  readonly #blank = new Set<Sandbox>();
  readonly #starting = new Map<Sandbox, number>();
  readonly #leaving = new Set<Sandbox>();
  readonly #orders = new OrderBook();
  readonly #sides: SideKinds;
  readonly #backoff: StartBackoff;
  #total = 0;
  #wanted: number;
  #claimedAt = 0;
  #hasStarted = false;
  #cancelRefill: (() => void) | null = null;
  #isClosed = false;
  /** Of the functions that were loaded lately, those in the form `fetch`. */
  #fetchShare = 0.5;

  constructor(options: SupplyOptions) {
    this.#options = options;
    this.#wanted = options.pool.minBlank;
    this.#sides = new SideKinds(options.services.clock);
    this.#backoff = new StartBackoff(options.services.clock);
  }

  get blankCount(): number {
    return this.#blank.size;
  }

  get startingCount(): number {
    return this.#starting.size;
  }

  /** An order cannot be met for lack of room on the host: whoever becomes idle should go. */
  get isStarved(): boolean {
    return this.#orders.size > 0 && this.#total >= this.#options.maxSandboxes;
  }

  /** A blank sandbox waits, or the last start succeeded. */
  get isReady(): boolean {
    if (this.#isClosed) return false;
    if (this.#blank.size > 0) return true;
    return !this.isFailing && (this.#hasStarted || this.#options.pool.minBlank === 0);
  }

  /** The last start of the default kind failed. */
  get isFailing(): boolean {
    return this.#backoff.isFailing(this.#options.moulds.defaultKind);
  }

  /** Delivers at once where a blank sandbox waits; otherwise starts one. */
  place(order: Order): void {
    const { services, pool } = this.#options;
    this.#claimedAt = services.clock.monotonic();
    this.#wanted = Math.min(pool.maxBlank, this.#wanted + 1);
    this.#sides.used(order.mould.kind);
    const blank = this.#blankOf(order.mould);
    if (blank === undefined) {
      this.#orders.add(order);
    } else {
      this.#blank.delete(blank);
      order.deliver(blank, true);
      this.#refillLater();
    }
    this.#fillOrders();
  }

  /** Takes an order back; a sandbox that starts for it goes to the pool or away. */
  cancel(order: Order): void {
    this.#orders.delete(order);
  }

  /** Starts what is missing, as far as the limits allow. */
  fill(): void {
    if (this.#isClosed) return;
    this.#fillOrders();
    if (this.#orders.size === 0) this.#fillPool();
  }

  /** Not at once: the function that was just given a sandbox shall have the processor to itself while it loads. */
  #refillLater(): void {
    this.#cancelRefill ??= this.#options.services.clock.after(REFILL_PAUSE_MS, () => {
      this.#cancelRefill = null;
      this.fill();
    });
  }

  /** Gives up surplus blank sandboxes when no claim has come for a while. Called now and then. */
  shrink(): void {
    const { services, pool } = this.#options;
    if (services.clock.monotonic() - this.#claimedAt < CALM_MS) return;
    this.#claimedAt = services.clock.monotonic();
    this.#wanted = Math.max(pool.minBlank, this.#wanted - 1);
    this.#discard(this.#surplus());
  }

  /** The moulds are others: blank sandboxes of the old ones are of no use. Requests that wait get one of the new. */
  renew(): void {
    const current = new Set([this.#defaultMould().key, ...this.#sideMoulds().map(([{ key }]) => key)]);
    for (const sandbox of [...this.#blank, ...this.#starting.keys()])
      if (sandbox.isRefill && !current.has(sandbox.mould.key)) this.#discard(sandbox);
    this.#backoff.clear();
    this.fill();
  }

  /** As many blank sandboxes as there should be, of the present moulds. */
  get isFull(): boolean {
    return this.#blankCountOf(this.#defaultMould().key) >= this.#options.pool.minBlank;
  }

  /** Makes no more sandboxes and ends those that nobody has claimed. */
  close(): void {
    this.#isClosed = true;
    this.#backoff.clear();
    this.#cancelRefill?.();
    const waiting = Array.from(this.#orders);
    for (const order of waiting) {
      this.#orders.delete(order);
      order.fail(new BerthError('SHUTTING_DOWN'));
    }
    for (const sandbox of [...this.#blank, ...this.#starting.keys()]) this.#discard(sandbox);
  }

  // --- what happens to sandboxes

  offered(sandbox: Sandbox): void {
    const { services } = this.#options;
    const startedAt = this.#starting.get(sandbox);
    this.#starting.delete(sandbox);
    this.#backoff.started(sandbox.mould.kind);
    this.#hasStarted = true;
    const now = services.clock.monotonic();
    services.onEvent({ kind: 'started', ms: now - (startedAt ?? now) });
    this.#hand(sandbox);
    this.fill();
  }

  /** A function was loaded: more of its form will be. */
  loaded(form: Form): void {
    const isFetch = form === 'fetch' ? 1 : 0;
    this.#fetchShare += (isFetch - this.#fetchShare) * NEWEST_WEIGHT;
  }

  withdrawn(sandbox: Sandbox): void {
    this.#blank.delete(sandbox);
  }

  ended(sandbox: Sandbox, ending: Ending): void {
    this.#blank.delete(sandbox);
    this.#leaving.add(sandbox);
    if (this.#starting.delete(sandbox) && ending.reason === 'SANDBOX_START_FAILED')
      this.#failed(sandbox, ending.error);
    this.fill();
  }

  removed(sandbox: Sandbox): void {
    if (this.#leaving.delete(sandbox)) this.#total -= 1;
    this.fill();
  }

  #hand(sandbox: Sandbox): void {
    const order = this.#orders.take(sandbox.mould);
    if (order !== undefined) return order.deliver(sandbox, false);
    const { key } = sandbox.mould;
    const room = key === this.#defaultMould().key ? this.#options.pool.maxBlank : this.#sidePlaces(key);
    if (this.#blankCountOf(key) >= room || this.#isClosed) return this.#discard(sandbox);
    this.#blank.add(sandbox);
    sandbox.exercise(this.#fetchShare >= LEAST_FETCH_SHARE);
  }

  #failed(sandbox: Sandbox, error: BerthError): void {
    this.#backoff.failed(sandbox.mould.kind);
    this.#options.services.onEvent({ kind: 'start-failed' });
    if (!sandbox.isRefill) this.#orders.take(sandbox.mould)?.fail(error);
  }

  #fillOrders(): void {
    const { pool, maxSandboxes } = this.#options;
    const coming = this.#comingByMould();
    let direct = [...this.#starting.keys()].filter((sandbox) => !sandbox.isRefill).length;
    for (const order of this.#orders) {
      const { key } = order.mould;
      const ahead = coming.get(key) ?? 0;
      if (ahead > 0) {
        coming.set(key, ahead - 1);
      } else if (this.#total >= maxSandboxes) {
        this.#makeRoom();
        return;
      } else if (direct < pool.startConcurrency) {
        direct += 1;
        this.#start(order.mould, false);
      } else {
        return;
      }
    }
  }

  #fillPool(): void {
    const { pool, maxSandboxes } = this.#options;
    const most = Math.max(1, pool.startConcurrency - 1);
    const wanted: [Mould, number][] = [[this.#defaultMould(), this.#wanted], ...this.#sideMoulds()];
    for (const [mould, places] of wanted)
      while (this.#lacks(mould, places) && this.#starting.size < most && this.#total < maxSandboxes) {
        if (this.#backoff.isFailing(mould.kind)) {
          this.#retryLater(mould.kind);
          break;
        }
        this.#start(mould, true);
      }
  }

  #lacks({ key }: Mould, places: number): boolean {
    return this.#blankCountOf(key) + this.#startingCountOf(key) < places;
  }

  /** The driver fails: one attempt after a time that doubles. Requests that wait still try at once. */
  #retryLater(kind: SandboxKind): void {
    this.#backoff.retryLater(kind, () => {
      const wanted: [Mould, number][] = [[this.#defaultMould(), this.#wanted], ...this.#sideMoulds()];
      const [mould] =
        wanted.find(([one, places]) => isSameKind(one.kind, kind) && this.#lacks(one, places)) ?? [];
      if (mould === undefined || this.#isClosed || this.#total >= this.#options.maxSandboxes) return;
      this.#start(mould, true);
    });
  }

  /** The host is full: a blank sandbox that fits nobody goes first, then the idlest; one for each order, no more. */
  #makeRoom(): void {
    while (this.#orders.size - this.#starting.size > this.#leaving.size) {
      const [blank] = this.#blank;
      if (blank !== undefined) this.#discard(blank);
      else if (!this.#options.evictIdle()) return;
    }
  }

  #start(mould: Mould, isRefill: boolean): void {
    const sandbox = this.#options.make({ mould, isRefill });
    this.#total += 1;
    this.#starting.set(sandbox, this.#options.services.clock.monotonic());
    sandbox.start();
  }

  /** One of the kind that has more blank sandboxes than it should, the oldest. */
  #surplus(): Sandbox | undefined {
    const wanted = new Map([
      [this.#defaultMould().key, this.#wanted],
      ...this.#sideMoulds().map(([{ key }, places]) => [key, places] as const),
    ]);
    for (const sandbox of this.#blank) {
      const { key } = sandbox.mould;
      if (this.#blankCountOf(key) > (wanted.get(key) ?? 0)) return sandbox;
    }
    return undefined;
  }

  #discard(sandbox: Sandbox | undefined): void {
    sandbox?.end({ reason: 'surplus', error: new BerthError('SHUTTING_DOWN') });
  }

  #comingByMould(): Map<string, number> {
    const coming = new Map<string, number>();
    const now = this.#options.services.clock.monotonic();
    for (const [{ mould }, startedAt] of this.#starting)
      if (now - startedAt < SLOW_START_MS) coming.set(mould.key, (coming.get(mould.key) ?? 0) + 1);
    return coming;
  }

  #blankOf({ key }: Mould): Sandbox | undefined {
    for (const sandbox of this.#blank) if (sandbox.mould.key === key) return sandbox;
    return undefined;
  }

  #blankCountOf(key: string): number {
    let count = 0;
    for (const sandbox of this.#blank) if (sandbox.mould.key === key) count += 1;
    return count;
  }

  #startingCountOf(key: string): number {
    let count = 0;
    for (const sandbox of this.#starting.keys()) if (sandbox.mould.key === key) count += 1;
    return count;
  }

  #defaultMould(): Mould {
    const { moulds, services } = this.#options;
    return moulds.of(moulds.defaultKind, services.defaultLimits());
  }

  /** Other kinds that were asked for of late: new functions of their tenants do not wait either. */
  #sideMoulds(): [Mould, number][] {
    const { moulds, services, pool } = this.#options;
    const own = this.#defaultMould().key;
    return this.#sides
      .kinds()
      .map((kind): [Mould, number] => [
        moulds.of(kind, services.defaultLimits()),
        Math.min(pool.minBlank, SIDE_BLANK),
      ])
      .filter(([{ key }]) => key !== own);
  }

  #sidePlaces(key: string): number {
    return this.#sideMoulds().find(([mould]) => mould.key === key)?.[1] ?? 0;
  }
}

function isSameKind(one: SandboxKind, other: SandboxKind): boolean {
  return one.isolation === other.isolation && one.nodeMajor === other.nodeMajor;
}
