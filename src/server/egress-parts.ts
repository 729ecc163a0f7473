/** The egress broker over the resolver of this host, and the door to the tenants' own functions. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Duplex } from 'node:stream';
import type { Config } from '../config/settings.ts';
import type { Clock } from '../kernel/clock.ts';
import { kindOfAddress } from '../kernel/ip-address.ts';
import { type EgressBroker, EgressError } from '../sandboxes/egress/egress.ts';
import type { HomeConnections } from '../sandboxes/egress/home-connections.ts';
import { createEgressBroker, type InternalCall, type ServiceCall } from '../sandboxes/egress/local-broker.ts';
import { createResolver, type Resolver } from '../sandboxes/egress/resolver.ts';
import type { PlatformLog } from '../sandboxes/services.ts';
import { ServiceRefusal, type Services } from '../services/services.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** How long what the host says of its interfaces is taken for true. */
const INTERFACES_MS = 2_000;
const HOSTS_FILE = '/etc/hosts';

/** This host's own addresses, read anew now and then. */
export class HostAddresses {
  readonly #now: () => number;
  #readAt = Number.NEGATIVE_INFINITY;
  #addresses: ReadonlySet<string> = new Set();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#now = () => clock.monotonic();
  }

  has(address: string): boolean {
    return this.#present().has(address);
  }

  /** Whether the host has an IPv6 address that others can answer to. */
  get hasIpv6(): boolean {
    return [...this.#present()].some(
      (address) => address.includes(':') && kindOfAddress(address) === 'public',
    );
  }

  #present(): ReadonlySet<string> {
    const now = this.#now();
    if (now - this.#readAt >= INTERFACES_MS) {
      this.#readAt = now;
      const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
      this.#addresses = new Set(all.map(({ address }) => address));
    }
    return this.#addresses;
  }
}

/** What the platform knows of the network that it is in. */
export interface HostNetwork {
  readonly addresses: HostAddresses;
  readonly resolver: Resolver;
}

export function hostNetwork(config: Config, clock: Pick<Clock, 'monotonic'>): HostNetwork {
  const addresses = new HostAddresses(clock);
  const resolver = createResolver({
    servers: config.egress.dns,
    readHosts,
    hasIpv6: () => addresses.hasIpv6,
  });
  return { addresses, resolver };
}

export interface EgressParts {
  readonly config: Config;
  readonly network: HostNetwork;
  readonly connectInternal: (call: InternalCall) => Duplex | null;
  readonly services: Pick<Services, 'connect'>;
  readonly home: HomeConnections;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: PlatformLog;
  readonly metrics: Metrics;
}

export function startEgress({
  config,
  network,
  metrics,
  services,
  home,
  ...parts
}: EgressParts): EgressBroker {
  const { allow, deny, maxConnections } = config.egress;
  const broker = createEgressBroker({
    ...parts,
    allow,
    deny,
    maxConnections,
    resolver: network.resolver,
    connectService: (call, signal) => connectService(services, call, signal),
    isOwnAddress: (address) => network.addresses.has(address),
    onHomeConnection: (socket, hops) => home.add(socket, hops),
    onEvent(event) {
      if (event.kind === 'bytes') metrics.egressBytes(event.direction, event.bytes);
      else metrics.egressTried(event.kind, event.outcome);
    },
  });
  metrics.watchEgress(() => broker.open);
  return broker;
}

async function connectService(
  services: Pick<Services, 'connect'>,
  call: ServiceCall,
  signal: AbortSignal,
): Promise<Duplex> {
  try {
    return await services.connect(call, signal);
  } catch (error) {
    if (!(error instanceof ServiceRefusal)) throw error;
    throw new EgressError(error.code, error.message, { cause: error });
  }
}

function readHosts(): string {
  try {
    return readFileSync(HOSTS_FILE, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
