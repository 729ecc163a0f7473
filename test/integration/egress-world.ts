/** Sandboxes with a real broker below them, and names that lead where a test wants. */
import type { Duplex } from 'node:stream';
import type { EgressPolicy } from '../../src/contracts/egress.ts';
import type { TenantId } from '../../src/contracts/ids.ts';
import type { Limits } from '../../src/contracts/limits.ts';
import type { UsageEntry } from '../../src/contracts/model.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { parseAddress } from '../../src/kernel/ip-address.ts';
import { EgressError, type EgressBroker, type EgressEvent } from '../../src/sandboxes/egress/egress.ts';
import { createEgressBroker, type InternalCall } from '../../src/sandboxes/egress/local-broker.ts';
import type { Resolver } from '../../src/sandboxes/egress/resolver.ts';
import { ask, openSandboxesWorld, revision, type SandboxesWorld } from './sandboxes-world.ts';

export const LOOPBACK: EgressPolicy = ['127.0.0.1', '[::1]', 'public'];

export interface EgressWorld extends SandboxesWorld {
  readonly broker: EgressBroker;
  readonly names: Map<string, readonly string[]>;
  readonly records: Map<string, unknown>;
  readonly asked: string[];
  readonly egressEvents: EgressEvent[];
  readonly usage: UsageEntry[];
  policy: EgressPolicy;
  limits: Partial<Limits>;
  connectInternal: (call: InternalCall) => Duplex | null;
  /** Runs the body of an async function of `query` in a sandbox of its own. @returns what it gives, from JSON */
  run<T>(body: string, options?: { readonly key?: string; readonly query?: string }): Promise<T>;
}

let count = 0;

export async function openEgressWorld(): Promise<EgressWorld> {
  const names = new Map<string, readonly string[]>();
  const records = new Map<string, unknown>();
  const asked: string[] = [];
  const egressEvents: EgressEvent[] = [];
  const usage: UsageEntry[] = [];
  const log = console;
  const broker = createEgressBroker({
    resolver: fakeResolver(names, records, asked),
    isOwnAddress: () => false,
    connectInternal: (call) => world.connectInternal(call),
    connectService: () => Promise.reject(new EgressError('ENOTFOUND', 'there are no services')),
    maxConnections: 1_000,
    allow: [],
    deny: ['9.9.9.9'],
    store: {
      addUsage: (entries) => Promise.resolve(void usage.push(...entries)),
      readUsage: (tenant: TenantId) => Promise.resolve(usage.filter((entry) => entry.tenant === tenant)),
    },
    clock: systemClock,
    log,
    onEvent: (event) => void egressEvents.push(event),
  });
  const sandboxes = await openSandboxesWorld(broker);
  const world: EgressWorld = {
    ...sandboxes,
    broker,
    names,
    records,
    asked,
    egressEvents,
    usage,
    policy: LOOPBACK,
    limits: {},
    connectInternal: () => null,
    async run<T>(body: string, { key = `f${++count}`, query = '' } = {}): Promise<T> {
      const code = `module.exports = async (ctx) => { const query = ctx.query; ${body} };`;
      const runnable = {
        ...revision(key, code),
        egress: () => world.policy,
        limits: () => ({ ...revision(key, code).limits(), ...world.limits }),
      };
      const answer = await ask(sandboxes.sandboxes, runnable, `/?${query}`);
      if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body} ${String(answer.error)}`);
      return JSON.parse(answer.body) as T;
    },
    async close() {
      await sandboxes.close();
      await broker.close();
    },
  };
  return world;
}

function fakeResolver(
  names: ReadonlyMap<string, readonly string[]>,
  records: ReadonlyMap<string, unknown>,
  asked: string[],
): Resolver {
  return {
    addresses(name, family) {
      asked.push(name);
      const found = (names.get(name) ?? [])
        .map((address) => parseAddress(address)!)
        .filter((address) => family === 0 || address.family === family);
      return found.length > 0
        ? Promise.resolve(found)
        : Promise.reject(new EgressError('ENOTFOUND', `there is no host ${name}`));
    },
    records(name, type) {
      asked.push(name);
      const result = records.get(`${type} ${name}`);
      if (result === undefined) return Promise.reject(new EgressError('ENODATA', `no ${type} of ${name}`));
      return Promise.resolve({ result, ...(type === 'A' ? { ttls: [60] } : {}) });
    },
  };
}
