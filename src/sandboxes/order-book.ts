/** Orders that wait for a sandbox, taken in turns: one of each tenant, then the next of each, so that nobody's burst is in the way of others. */
import type { BerthError } from '../contracts/errors.ts';
import type { TenantId } from '../contracts/ids.ts';
import type { Mould } from './mould.ts';
import type { Sandbox } from './sandbox.ts';

export interface Order {
  readonly tenant: TenantId;
  readonly mould: Mould;
  /** Takes the blank sandbox; it must be claimed at once. */
  deliver(sandbox: Sandbox, wasBlank: boolean): void;
  fail(error: BerthError): void;
}

export class OrderBook {
  /** In turn: the tenant that was served last is at the end. */
  readonly #byTenant = new Map<TenantId, Set<Order>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(order: Order): void {
    const own = this.#byTenant.get(order.tenant) ?? new Set();
    this.#byTenant.set(order.tenant, own.add(order));
    this.#size += 1;
  }

  delete(order: Order): void {
    const own = this.#byTenant.get(order.tenant);
    if (own === undefined || !own.delete(order)) return;
    this.#size -= 1;
    if (own.size === 0) this.#byTenant.delete(order.tenant);
  }

  /** Takes the order out that is next in turn for a sandbox of this mould. */
  take({ key }: Mould): Order | undefined {
    for (const order of this) {
      if (order.mould.key !== key) continue;
      this.delete(order);
      const rest = this.#byTenant.get(order.tenant);
      if (rest !== undefined && this.#byTenant.delete(order.tenant)) this.#byTenant.set(order.tenant, rest);
      return order;
    }
    return undefined;
  }

  /** In turns. Who iterates stops early, and does not change the book meanwhile. */
  *[Symbol.iterator](): Generator<Order, void, undefined> {
    for (let round = 0, hasMore = true; hasMore; round++) {
      hasMore = false;
      for (const own of this.#byTenant.values()) {
        const order = own.size > round ? nth(own, round) : undefined;
        if (order === undefined) continue;
        hasMore = true;
        yield order;
      }
    }
  }
}

function nth(orders: ReadonlySet<Order>, index: number): Order | undefined {
  let at = 0;
  for (const order of orders) if (at++ === index) return order;
  return undefined;
}
