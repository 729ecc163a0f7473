/** The broker of this host: policy, look-up, connection, in that order, and the tenants' accounts. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { EgressFailure } from '../../contracts/frames.ts';
import type { FunctionName, TenantId } from '../../contracts/ids.ts';
import type { Limits } from '../../contracts/limits.ts';
import type { Clock } from '../../kernel/clock.ts';
import type { UsageStore } from '../../store/store.ts';
import type { PlatformLog } from '../services.ts';
import { type DialOptions, dial } from './dial.ts';
import {
  type EgressBroker,
  type EgressCaller,
  EgressError,
  type EgressEvent,
  type SandboxEgress,
} from './egress.ts';
import type { Resolver } from './resolver.ts';
import { BrokeredSandbox } from './brokered-sandbox.ts';
import { type OperatorLists, TargetPolicy } from './target-policy.ts';
import { TenantAccount } from './tenant-account.ts';
import { UsageBooks } from './usage-book.ts';

/** A connection to one of the tenant's own functions, which never leaves this process. */
export interface InternalCall {
  readonly tenant: TenantId;
  readonly fn: FunctionName;
  readonly hops: number;
}

/** A connection to a service of the tenant, `service` as its code called it. */
export interface ServiceCall {
  readonly tenant: TenantId;
  readonly service: string;
  readonly port: number;
}

export interface BrokerOptions extends OperatorLists {
  readonly resolver: Resolver;
  /** Whether an address is one of this host's. */
  readonly isOwnAddress: (address: string) => boolean;
  /** A connection that leads to this host itself, where the operator allows that. @param hops as in `InternalCall` */
  readonly onHomeConnection?: (socket: Socket, hops: number) => void;
  /** null: there is no such function */
  readonly connectInternal: (call: InternalCall) => Duplex | null;
  /** A connection to one of the tenant's services. @throws EgressError */
  readonly connectService: (call: ServiceCall, signal: AbortSignal) => Promise<Duplex>;
  /** connections and look-ups of all tenants at the same time: each takes a descriptor */
  readonly maxConnections: number;
  readonly store: UsageStore;
  readonly clock: Clock;
  readonly log: PlatformLog;
  readonly onEvent: (event: EgressEvent) => void;
  readonly dial?: (options: DialOptions) => Promise<Duplex>;
}

/** Accounts that nobody uses are looked for after so many that were opened. */
const PRUNE_EVERY = 256;

/** @throws RangeError when the operator's lists hold something that is no pattern */
export function createEgressBroker(options: BrokerOptions): EgressBroker {
  return new LocalBroker(options);
}

/** What the sandboxes of one broker share. */
export interface BrokerContext {
  readonly options: BrokerOptions & { readonly dial: (options: DialOptions) => Promise<Duplex> };
  readonly policy: TargetPolicy;
  readonly books: UsageBooks;
  accountOf(tenant: TenantId): TenantAccount;
  /** Why there is no place, of the tenant or of the platform: EMFILE, EAGAIN; null: there is one. */
  refusal(account: TenantAccount, limits: Limits): EgressFailure | null;
  /** Takes a place that there is. */
  enter(account: TenantAccount): void;
  leave(account: TenantAccount): void;
}

class LocalBroker implements EgressBroker, BrokerContext {
  readonly options: BrokerContext['options'];
  readonly policy: TargetPolicy;
  readonly books: UsageBooks;
  readonly #accounts = new Map<TenantId, TenantAccount>();
  #untilPrune = PRUNE_EVERY;
  open = 0;

  constructor(options: BrokerOptions) {
    this.options = { dial, ...options };
    this.policy = new TargetPolicy(options, options.isOwnAddress);
    this.books = new UsageBooks(options);
  }

  forSandbox(caller: EgressCaller): SandboxEgress {
    return new BrokeredSandbox(this, caller);
  }

  recheck(tenant: TenantId): void {
    for (const held of this.#accounts.get(tenant)?.held ?? []) held.recheck();
  }

  async close(): Promise<void> {
    const error = new EgressError('ECONNRESET', 'the platform is stopping');
    for (const { held } of this.#accounts.values()) for (const one of held) one.end(error);
    await this.books.close();
  }

  // --- for its sandboxes

  accountOf(tenant: TenantId): TenantAccount {
    const known = this.#accounts.get(tenant);
    if (known !== undefined) return known;
    if (--this.#untilPrune === 0) this.#prune();
    const account = new TenantAccount(this.books.of(tenant));
    this.#accounts.set(tenant, account);
    return account;
  }

  refusal(account: TenantAccount, limits: Limits): EgressFailure | null {
    const { maxConnections, clock } = this.options;
    if (this.open >= maxConnections)
      return { code: 'EMFILE', reason: `the limit egress.maxConnections (${maxConnections}) is reached` };
    return account.refusal(limits, clock.monotonic());
  }

  enter(account: TenantAccount): void {
    account.enter();
    this.open += 1;
  }

  leave(account: TenantAccount): void {
    account.leave();
    this.open -= 1;
  }

  #prune(): void {
    this.#untilPrune = PRUNE_EVERY;
    const now = this.options.clock.monotonic();
    for (const [tenant, account] of this.#accounts) {
      if (!account.isIdle(now)) continue;
      this.#accounts.delete(tenant);
      this.books.rest(tenant);
    }
  }
}
