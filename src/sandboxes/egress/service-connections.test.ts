/** The way to a tenant's services: through the broker, by name, of one's own tenant alone. */
import { PassThrough } from 'node:stream';
import { beforeEach, expect, it } from 'vitest';
import type { EgressPolicy } from '../../contracts/egress.ts';
import { tenantIdSchema } from '../../contracts/ids.ts';
import { defaultLimits, type Limits } from '../../contracts/limits.ts';
import { FakeClock } from '../../kernel/testing/fake-clock.ts';
import { type EgressBroker, type EgressConnection, EgressError } from './egress.ts';
import { createEgressBroker } from './local-broker.ts';

const ACME = tenantIdSchema.parse('acme');
const never = new AbortController().signal;
const unused = (): never => {
  throw new Error('this leads out');
};
let asked: string[];
let limits: Limits;
let broker: EgressBroker;

beforeEach(() => {
  asked = [];
  limits = defaultLimits;
  const log = { debug: unused, info: unused, warn: unused, error: unused };
  broker = createEgressBroker({
    clock: new FakeClock(),
    allow: [],
    deny: [],
    maxConnections: 5,
    isOwnAddress: () => false,
    resolver: { addresses: unused, records: unused },
    connectInternal: unused,
    connectService({ tenant, service, port }) {
      asked.push(`${tenant} ${service}:${port}`);
      if (service === 'redis') return Promise.resolve(new PassThrough());
      return Promise.reject(new EgressError('ENOTFOUND', 'the tenant has no such service'));
    },
    store: { addUsage: () => Promise.resolve(), readUsage: () => Promise.resolve([]) },
    log,
    onEvent: () => undefined,
    dial: unused,
  });
});

function connect(host: string): Promise<EgressConnection> {
  const caller = {
    tenant: ACME,
    policy: (): EgressPolicy => 'none',
    limits: () => limits,
    warn: () => undefined,
  };
  return broker.forSandbox(caller).connect({ host, port: 6379, family: 0, hops: 0 }, never);
}

async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  return error instanceof EgressError ? `${error.code}: ${error.message}` : String(error);
}

it('is open whatever the policy says, without DNS, to the services of the sandbox’s own tenant', async () => {
  const { peer } = await connect('Redis.service.berth.internal.');
  expect(asked).toEqual(['acme redis:6379']);
  expect(peer.address).toBe('127.0.0.1');
});

it('leads by no name to another tenant', async () => {
  for (const name of ['redis.globex', 'globex/redis', 'globex.redis', ' redis', 'x'])
    expect(await failure(connect(`${name}.service.berth.internal`))).toMatch(/^ENOTFOUND/);
  expect(asked.every((call) => call.startsWith('acme '))).toBe(true);
});

it('has no address to be looked up', async () => {
  const caller = {
    tenant: ACME,
    policy: (): EgressPolicy => 'public',
    limits: () => limits,
    warn: () => undefined,
  } as const;
  const name = 'redis.service.berth.internal';
  const looked = broker.forSandbox(caller).lookup({ name, type: 'address', family: 0 }, never);
  expect(await failure(looked)).toMatch(/^ENOTFOUND/);
});

it('counts against the tenant’s connections, until it is closed', async () => {
  limits = { ...defaultLimits, egressConnections: 1 };
  const { stream } = await connect('redis.service.berth.internal');
  expect(await failure(connect('redis.service.berth.internal'))).toMatch(/egressConnections/);
  stream.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  await connect('redis.service.berth.internal');
});
