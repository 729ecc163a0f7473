/** What one sandbox may do: each connection and look-up passes limits, policy, DNS and policy again. */
import { Socket } from 'node:net';
import { isHostName } from '../../contracts/egress.ts';
import type { EgressFailure } from '../../contracts/frames.ts';
import { functionNameSchema } from '../../contracts/ids.ts';
import { SERVICE_SUFFIX } from '../../contracts/services.ts';
import { cleanText } from '../../kernel/clean-text.ts';
import { type IpAddress, kindOfAddress, parseAddress, parseReverseName } from '../../kernel/ip-address.ts';
import { Connection } from './connection.ts';
import { DenialLog } from './denial-log.ts';
import {
  type ConnectRequest,
  type EgressCaller,
  type EgressConnection,
  EgressError,
  type LookupRequest,
  type LookupResult,
  type SandboxEgress,
} from './egress.ts';
import type { BrokerContext } from './local-broker.ts';
import { REFUSAL_FRAMES, UNSEEN_REFUSAL_FRAMES } from './frame-pace.ts';
import { LookedUp } from './looked-up.ts';
import type { TenantAccount } from './tenant-account.ts';
import type { Target } from './target-policy.ts';

const INTERNAL_SUFFIX = '.berth.internal';
const HTTP_PORT = 80;
/** What is the tenant's own has no address. */
const OWN_PEER = { address: '127.0.0.1', family: 4 } as const;
const MAX_SHOWN_BYTES = 300;
const limitCodes = new Set(['EAGAIN', 'EMFILE', 'EDQUOT']);

/** Addresses that may be connected to, and the names that led to them. */
interface Allowed {
  readonly names: readonly string[];
  readonly addresses: readonly IpAddress[];
}

/** A place in the tenant's account and the platform's, and the time that there is. */
interface Attempt {
  readonly account: TenantAccount;
  readonly signal: AbortSignal;
}

export class BrokeredSandbox implements SandboxEgress {
  readonly #broker: BrokerContext;
  readonly #caller: EgressCaller;
  readonly #denials: DenialLog;
  readonly #lookedUp: LookedUp;

  constructor(broker: BrokerContext, caller: EgressCaller) {
    const { clock } = broker.options;
    this.#broker = broker;
    this.#caller = caller;
    this.#denials = new DenialLog((text) => caller.warn(text), clock);
    this.#lookedUp = new LookedUp(() => clock.monotonic());
  }

  async connect(request: ConnectRequest, signal: AbortSignal): Promise<EgressConnection> {
    const host = usualName(request.host);
    const what = `connect ${host}:${request.port}`;
    return this.#attempt('connect', { what, signal }, async (attempt) => {
      const connection = await this.#open({ ...request, host }, attempt);
      attempt.account.book.add('egressConnections', 1);
      return connection;
    });
  }

  async lookup(request: LookupRequest, signal: AbortSignal): Promise<LookupResult> {
    const name = usualName(request.name);
    return this.#attempt('lookup', { what: `look-up of ${name}`, signal }, async (attempt) => {
      const result = await this.#ask({ ...request, name }, attempt.signal);
      this.#leave(attempt.account);
      return result;
    });
  }

  refuseUnseen(kind: 'connect' | 'lookup'): EgressFailure | null {
    const account = this.#account;
    if (account.pace.owedMs(this.#now()) === 0) return null;
    const refusal = this.#broker.refusal(account, this.#caller.limits());
    if (refusal === null) return null;
    this.charge(UNSEEN_REFUSAL_FRAMES);
    this.#count(kind, { account, outcome: 'limited', text: () => `egress: ${refusal.reason}` });
    return refusal;
  }

  charge(frames: number): number {
    return this.#account.pace.charge(frames, this.#now());
  }

  // --- connecting

  async #open(request: ConnectRequest, attempt: Attempt): Promise<EgressConnection> {
    const { host } = request;
    if (host.endsWith(SERVICE_SUFFIX)) return this.#connectService(request, attempt);
    if (host.endsWith(INTERNAL_SUFFIX)) return this.#connectInternal(request, attempt);
    return this.#connectOut(request, attempt);
  }

  /** As with functions: a tenant's services are its own, and nobody else's have a name here. */
  async #connectService(
    { host, port }: ConnectRequest,
    { account, signal }: Attempt,
  ): Promise<EgressConnection> {
    const { tenant } = this.#caller;
    const service = host.slice(0, -SERVICE_SUFFIX.length);
    const call = { tenant, service, port };
    const stream = await within(signal, this.#broker.options.connectService(call, signal));
    // Its close would not be heard any more.
    if (stream.destroyed) throw new EgressError('ECONNRESET', `the service ${service} closed the connection`);
    return this.#hold({ stream, peer: OWN_PEER, account, refusal: () => null });
  }

  async #connectOut(request: ConnectRequest, { account, signal }: Attempt): Promise<EgressConnection> {
    const { port, hops } = request;
    const { names, addresses } = await within(signal, this.#allowed(request));
    const stream = await this.#broker.options.dial({ addresses, port, signal });
    // The address that is really connected to, by the policy of now.
    const connected = 'remoteAddress' in stream ? parseAddress(String(stream.remoteAddress)) : null;
    const address = connected ?? addresses[0]!;
    const refusal = (): EgressError | null => this.#refusal({ names, address, port });
    const refused = refusal();
    if (refused !== null) {
      stream.destroy();
      throw refused;
    }
    if (stream instanceof Socket && this.#isHome(address))
      this.#broker.options.onHomeConnection?.(stream, hops);
    return this.#hold({ stream, peer: address, account, refusal });
  }

  #isHome({ address }: IpAddress): boolean {
    return kindOfAddress(address) === 'loopback' || this.#isOwn(address);
  }

  #isOwn(address: string): boolean {
    return this.#broker.options.isOwnAddress(address);
  }

  /** Never leaves the process, so no policy is asked: a tenant's functions are its own. */
  #connectInternal({ host, port, hops }: ConnectRequest, { account }: Attempt): EgressConnection {
    if (port !== HTTP_PORT) throw new EgressError('EACCES', 'own functions are reached by http, on port 80');
    const fn = functionNameSchema.safeParse(host.slice(0, -INTERNAL_SUFFIX.length));
    const { tenant } = this.#caller;
    const stream = fn.success ? this.#broker.options.connectInternal({ tenant, fn: fn.data, hops }) : null;
    if (stream === null) throw new EgressError('ENOTFOUND', `the tenant has no function for ${host}`);
    return this.#hold({ stream, peer: OWN_PEER, account, refusal: () => null });
  }

  #hold(parts: {
    readonly stream: EgressConnection['stream'];
    readonly peer: EgressConnection['peer'];
    readonly account: TenantAccount;
    readonly refusal: () => EgressError | null;
  }): Connection {
    return new Connection({
      ...parts,
      clock: this.#broker.options.clock,
      limits: () => this.#caller.limits(),
      onBytes: (direction, bytes) => this.#broker.options.onEvent({ kind: 'bytes', direction, bytes }),
      onClose: () => this.#leave(parts.account),
    });
  }

  // --- names and policy

  /** @throws EgressError EACCES when there is no address that is allowed */
  async #allowed({ host, port, family }: ConnectRequest): Promise<Allowed> {
    const literal = parseAddress(host);
    if (literal !== null) {
      const names = this.#lookedUp.namesOf(literal.address);
      return { names, addresses: this.#filter([literal], { names, port }) };
    }
    this.#checkName(host, port);
    const found = await this.#broker.options.resolver.addresses(host, family);
    return { names: [host], addresses: this.#filter(found, { names: [host], port }) };
  }

  async #ask({ name, type, family }: LookupRequest, signal: AbortSignal): Promise<LookupResult> {
    const { resolver } = this.#broker.options;
    const literal = parseAddress(name);
    if (type === 'reverse') {
      if (literal === null) throw new EgressError('ENOTFOUND', 'it is no address');
      this.#filter([literal], { names: [], port: null });
      return within(signal, resolver.records(literal.address, type));
    }
    if (type === 'address' && literal !== null)
      return { result: textsOf(this.#filter([literal], { names: [], port: null })) };
    this.#checkName(name, null);
    if (type === 'address')
      return { result: this.#answer(name, await within(signal, resolver.addresses(name, family))) };
    // What an address is called is told where the address may be connected to, in whatever form it is asked.
    const about = parseReverseName(name);
    if (about !== null) this.#filter([about], { names: [], port: null });
    const { result, ttls } = await within(signal, resolver.records(name, type));
    if (type === 'ANY') return { result: this.#withoutRefused(name, result) };
    if (type !== 'A' && type !== 'AAAA') return { result };
    const parsed = (result as string[]).flatMap((text) => parseAddress(text) ?? []);
    const answer = this.#answer(name, parsed);
    return { result: answer, ttls: answer.map((_, index) => ttls?.[index] ?? 0) };
  }

  /** Records of all types, without the addresses that may not be connected to. */
  #withoutRefused(name: string, records: unknown): readonly unknown[] {
    const all = (Array.isArray(records) ? records : []).map((record: { readonly address?: unknown }) => ({
      record,
      address: typeof record.address === 'string' ? parseAddress(record.address) : null,
    }));
    const addresses = all.flatMap(({ address }) => address ?? []);
    const allowed = new Set(this.#filter(addresses, { names: [name], port: null }));
    return all.filter(({ address }) => address === null || allowed.has(address)).map(({ record }) => record);
  }

  /** Tells only addresses that may be connected to, and remembers that this name led to them. */
  #answer(name: string, found: readonly IpAddress[]): string[] {
    const addresses = this.#filter(found, { names: [name], port: null });
    this.#lookedUp.add(name, addresses);
    return textsOf(addresses);
  }

  #checkName(name: string, port: number | null): void {
    if (!isHostName(name)) throw new EgressError('ENOTFOUND', 'it is no host name');
    if (name.endsWith(INTERNAL_SUFFIX))
      throw new EgressError('ENOTFOUND', 'own functions have no address; connect to the name');
    const reason = this.#broker.policy.refusalOfName(this.#caller.policy(), name, port);
    if (reason !== null) throw new EgressError('EACCES', reason);
  }

  /** @throws EgressError EACCES, with the reason of the first, when none is left */
  #filter(found: readonly IpAddress[], target: Omit<Target, 'address'>): readonly IpAddress[] {
    const allowed = found.filter((address) => this.#refusal({ ...target, address }) === null);
    const [first] = found;
    if (allowed.length > 0 || first === undefined) return allowed;
    throw this.#refusal({ ...target, address: first }) ?? new EgressError('EACCES', 'it is refused');
  }

  #refusal(target: Target): EgressError | null {
    const reason = this.#broker.policy.refusal(this.#caller.policy(), target);
    if (reason === null) return null;
    // Who knows an inner name shall not learn by it where that leads.
    const { address } = target.address;
    const isTold = target.names.length > 0 && kindOfAddress(address) === 'public' && !this.#isOwn(address);
    return new EgressError('EACCES', isTold ? `${address}: ${reason}` : reason);
  }

  // --- limits and accounts

  /** Takes a place and runs `work` within egressConnectMs. A failure gives the place back, and is told. @throws EgressError */
  async #attempt<T>(
    kind: 'connect' | 'lookup',
    { what, signal }: { readonly what: string; readonly signal: AbortSignal },
    work: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const { clock, onEvent } = this.#broker.options;
    const limits = this.#caller.limits();
    const account = this.#account;
    const refusal = this.#broker.refusal(account, limits);
    if (refusal !== null) {
      this.charge(REFUSAL_FRAMES);
      const thrown = new EgressError(refusal.code, refusal.reason);
      throw this.#told(kind, { what, account, thrown, isLate: false });
    }
    this.#broker.enter(account);
    const time = new AbortController();
    const cancel = clock.after(limits.egressConnectMs, () => time.abort());
    try {
      await account.checkBytes(limits);
      const done = await work({ account, signal: AbortSignal.any([signal, time.signal]) });
      onEvent({ kind, outcome: 'ok' });
      return done;
    } catch (thrown) {
      this.#leave(account);
      throw this.#told(kind, { what, account, thrown, isLate: time.signal.aborted });
    } finally {
      cancel();
    }
  }

  get #account(): TenantAccount {
    return this.#broker.accountOf(this.#caller.tenant);
  }

  #now(): number {
    return this.#broker.options.clock.monotonic();
  }

  #leave(account: TenantAccount): void {
    this.#broker.leave(account);
  }

  #told(
    kind: 'connect' | 'lookup',
    failure: {
      readonly what: string;
      readonly account: TenantAccount;
      readonly thrown: unknown;
      readonly isLate: boolean;
    },
  ): EgressError {
    const error = this.#errorOf(failure.thrown, failure.isLate);
    const outcome = error.code === 'EACCES' ? 'refused' : limitCodes.has(error.code) ? 'limited' : 'failed';
    if (outcome === 'failed') this.#broker.options.onEvent({ kind, outcome });
    else {
      const text = (): string =>
        cleanText(`egress: ${failure.what} refused: ${error.message}`, MAX_SHOWN_BYTES);
      this.#count(kind, { account: failure.account, outcome, text });
    }
    return error;
  }

  #count(
    kind: 'connect' | 'lookup',
    refused: {
      readonly account: TenantAccount;
      readonly outcome: 'refused' | 'limited';
      readonly text: () => string;
    },
  ): void {
    this.#broker.options.onEvent({ kind, outcome: refused.outcome });
    refused.account.book.add('egressRefused', 1);
    this.#denials.add(refused.text);
  }

  #errorOf(thrown: unknown, isLate: boolean): EgressError {
    if (isLate) {
      const { egressConnectMs } = this.#caller.limits();
      return new EgressError('ETIMEDOUT', `it took longer than egressConnectMs (${egressConnectMs} ms)`);
    }
    if (thrown instanceof EgressError) return thrown;
    this.#broker.options.log.error(
      { err: thrown, tenant: this.#caller.tenant },
      'egress failed by our fault',
    );
    return new EgressError('EIO', 'the platform failed', { cause: thrown });
  }
}

/** Small letters, without the dot of the root. */
function usualName(text: string): string {
  return text.toLowerCase().replace(/\.$/, '');
}

function textsOf(addresses: readonly IpAddress[]): string[] {
  return addresses.map(({ address }) => address);
}

/** What is waited for cannot be cancelled, so it is left alone. @throws EgressError ECANCELED when `signal` fires */
async function within<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new EgressError('ECANCELED', 'it was given up'));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    promise.catch(() => undefined);
  }
}
