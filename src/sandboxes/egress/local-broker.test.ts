import { PassThrough, type Duplex } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import type { EgressPolicy } from '../../contracts/egress.ts';
import type { TenantId } from '../../contracts/ids.ts';
import { defaultLimits, type Limits } from '../../contracts/limits.ts';
import type { UsageEntry } from '../../contracts/model.ts';
import { parseAddress } from '../../kernel/ip-address.ts';
import { FakeClock, settled } from '../../kernel/testing/fake-clock.ts';
import type { DialOptions } from './dial.ts';
import {
  type EgressBroker,
  type EgressConnection,
  EgressError,
  type EgressEvent,
  type SandboxEgress,
} from './egress.ts';
import { createEgressBroker, type InternalCall } from './local-broker.ts';

const ACME = 'acme' as TenantId;
const OTHER = 'other' as TenantId;
const never = new AbortController().signal;

let clock: FakeClock;
let broker: EgressBroker;
let names: Map<string, string[]>;
/** What the DNS has of other types. */
let records: unknown[] | null;
let asked: string[];
let dialled: DialOptions[];
let log: string[];
let events: EgressEvent[];
let usage: UsageEntry[];
let internal: InternalCall[];
let policy: EgressPolicy;
let limits: Limits;
let dial: (options: DialOptions) => Promise<Duplex>;
let failStore: boolean;

beforeEach(() => {
  clock = new FakeClock();
  names = new Map([['a.test', ['93.184.215.14']]]);
  records = null;
  [asked, dialled, log, events, usage, internal] = [[], [], [], [], [], []];
  policy = 'public';
  limits = defaultLimits;
  failStore = false;
  dial = () => Promise.resolve(new PassThrough().on('error', () => undefined));
  broker = createEgressBroker({
    clock,
    allow: [],
    deny: [],
    maxConnections: 5,
    isOwnAddress: () => false,
    resolver: {
      addresses(name) {
        asked.push(name);
        return Promise.resolve((names.get(name) ?? []).map((text) => parseAddress(text)!));
      },
      records: (name) => Promise.resolve({ result: records ?? names.get(name) ?? [] }),
    },
    connectInternal(call) {
      internal.push(call);
      return call.fn === 'hello' ? new PassThrough() : null;
    },
    connectService: () => Promise.reject(new Error('no service is asked for here')),
    store: {
      addUsage(entries) {
        if (failStore) return Promise.reject(new Error('the disk is full'));
        usage.push(...entries);
        return Promise.resolve();
      },
      readUsage: (tenant) => Promise.resolve(usage.filter((entry) => entry.tenant === tenant)),
    },
    log: { debug: note, info: note, warn: note, error: note },
    onEvent: (event) => void events.push(event),
    dial(options) {
      dialled.push(options);
      return dial(options);
    },
  });
});

function note(_facts: object, text: string): void {
  log.push(`platform: ${text}`);
}

function sandbox(tenant = ACME): SandboxEgress {
  return broker.forSandbox({
    tenant,
    policy: () => policy,
    limits: () => limits,
    warn: (text) => void log.push(text),
  });
}

function connect(host: string, port = 443, egress = sandbox()): Promise<EgressConnection> {
  return egress.connect({ host, port, family: 0, hops: 1 }, never);
}

/** What a connection fails with, as `CODE: reason`. */
async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof EgressError
    ? `${error.code}: ${error.message}`
    : `no EgressError: ${String(error)}`;
}

const amount = (name: string): number =>
  usage.filter((entry) => entry.name === name).reduce((sum, entry) => sum + entry.amount, 0);

describe('connecting', () => {
  it('dials the addresses that it has checked, and no name', async () => {
    names.set('a.test', ['93.184.215.14', '10.0.0.1', '2606:4700::1111']);
    const { peer } = await connect('A.test.', 80);
    expect(dialled[0]).toMatchObject({
      port: 80,
      addresses: [
        { address: '93.184.215.14', family: 4 },
        { address: '2606:4700::1111', family: 6 },
      ],
    });
    expect(peer).toEqual({ address: '93.184.215.14', family: 4 });
    expect(asked).toEqual(['a.test']);
  });

  it('23: asks the DNS once: a name that changes between look-up and connection gains nothing', async () => {
    const egress = sandbox();
    names.set('rebind.test', ['93.184.215.14']);
    await egress.lookup({ name: 'rebind.test', type: 'address', family: 0 }, never);
    names.set('rebind.test', ['169.254.169.254']);
    expect(await failure(connect('rebind.test', 80, egress))).toBe('EACCES: it is a link-local address');
    expect(dialled).toEqual([]);
  });

  it('looks at the address of the socket that it gets', async () => {
    dial = () => Promise.resolve(Object.assign(new PassThrough(), { remoteAddress: '127.0.0.1' }));
    expect(await failure(connect('a.test'))).toBe('EACCES: it is a loopback address');
    expect(broker.open).toBe(0);
  });

  it.each([
    '2130706433',
    '0x7f.1',
    '017700000001',
    '127.1',
    '[::1]',
    '::ffff:127.0.0.1',
    '0',
    '169.254.43518',
  ])('22: refuses %s and asks nobody', async (host) => {
    expect(await failure(connect(host))).toMatch(
      /^EACCES: it is a (?:loopback|unspecified|link-local) address$/,
    );
    expect([asked, dialled]).toEqual([[], []]);
    expect(log[0]).toMatch(/^egress: connect .*:443 refused: it is a /);
  });

  it('asks the DNS nothing where the policy settles it', async () => {
    policy = ['b.test'];
    expect(await failure(connect('secret.a.test'))).toMatch(
      /^EACCES: the policy of the tenant does not name it/,
    );
    policy = 'none';
    expect(await failure(connect('a.test'))).toBe('EACCES: the policy of the tenant is none');
    expect(asked).toEqual([]);
  });

  it('takes what is no host name for a name that nobody has', async () => {
    for (const host of ['a b', 'a..b', 'http://a.test', '\0', 'x'.repeat(254)])
      expect(await failure(connect(host))).toBe('ENOTFOUND: it is no host name');
    expect(asked).toEqual([]);
  });

  it('counts a name that was looked up before as the name of its address', async () => {
    policy = ['a.test:443'];
    const egress = sandbox();
    expect(await failure(connect('93.184.215.14', 443, egress))).toMatch(/does not name/);
    await egress.lookup({ name: 'a.test', type: 'A', family: 0 }, never);
    await expect(connect('93.184.215.14', 443, egress)).resolves.toBeDefined();
    expect(await failure(connect('93.184.215.14', 80, egress))).toMatch(/does not name/);
    expect(await failure(connect('93.184.215.14', 443, sandbox()))).toMatch(/does not name/);
    await clock.advance(600_001);
    expect(await failure(connect('93.184.215.14', 443, egress))).toMatch(/does not name/);
  });

  it('gives up after egressConnectMs, and when the sandbox does', async () => {
    dial = ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new EgressError('ECANCELED', 'given up')));
      });
    const late = failure(connect('a.test'));
    await clock.advance(limits.egressConnectMs);
    expect(await late).toBe('ETIMEDOUT: it took longer than egressConnectMs (10000 ms)');
    const abort = new AbortController();
    const gone = failure(sandbox().connect({ host: 'a.test', port: 1, family: 0, hops: 0 }, abort.signal));
    await settled();
    abort.abort();
    expect(await gone).toBe('ECANCELED: given up');
    expect([broker.open, clock.waiting > 1]).toEqual([0, false]);
  });
});

describe('own functions', () => {
  it('are reached by their name, whatever the policy says', async () => {
    policy = 'none';
    const { peer } = await sandbox().connect(
      { host: 'hello.berth.internal', port: 80, family: 0, hops: 3 },
      never,
    );
    expect(internal).toEqual([{ tenant: ACME, fn: 'hello', hops: 3 }]);
    expect(peer.address).toBe('127.0.0.1');
    expect([asked, dialled]).toEqual([[], []]);
  });

  it('are those that there are, on port 80, and have no address', async () => {
    expect(await failure(connect('gone.berth.internal', 80))).toMatch(/^ENOTFOUND/);
    expect(await failure(connect('hello.berth.internal', 443))).toMatch(/^EACCES: .* port 80/);
    const looked = sandbox().lookup({ name: 'hello.berth.internal', type: 'address', family: 0 }, never);
    expect(await failure(looked)).toMatch(/^ENOTFOUND/);
  });
});

describe('looking up', () => {
  it('tells only addresses that may be connected to', async () => {
    names.set('a.test', ['10.0.0.1', '93.184.215.14']);
    const found = await sandbox().lookup({ name: 'a.test', type: 'address', family: 0 }, never);
    expect(found.result).toEqual(['93.184.215.14']);
    names.set('inner.test', ['10.0.0.1']);
    const inner = sandbox().lookup({ name: 'inner.test', type: 'address', family: 0 }, never);
    expect(await failure(inner)).toBe('EACCES: it is a private address');
    expect(log.at(-1)).toBe('egress: look-up of inner.test refused: it is a private address');
  });

  it('tells no others in records of any type, nor by the names that they have in the DNS', async () => {
    const text = { type: 'TXT', entries: ['hello'] };
    const found = { type: 'A', address: '93.184.215.14', ttl: 1 };
    records = [{ type: 'A', address: '10.0.0.1', ttl: 1 }, text, found, { type: 'AAAA', address: 'fd00::1' }];
    const any = async () => sandbox().lookup({ name: 'a.test', type: 'ANY', family: 0 }, never);
    expect((await any()).result).toEqual([text, found]);
    records = [text];
    expect((await any()).result).toEqual([text]);
    records = [{ type: 'AAAA', address: 'fd00::1', ttl: 1 }];
    expect(await failure(any())).toBe('EACCES: it is a unique local address');
    for (const name of ['1.0.0.10.in-addr.arpa', 'b._dns-sd._udp.0.0.16.172.in-addr.arpa', '8.e.f.ip6.arpa'])
      for (const type of ['PTR', 'ANY', 'TXT'] as const)
        expect(await failure(sandbox().lookup({ name, type, family: 0 }, never)), name).toMatch(/^EACCES/);
    const open = sandbox().lookup({ name: '14.215.184.93.in-addr.arpa', type: 'PTR', family: 0 }, never);
    expect((await open).result).toEqual(records);
  });

  it('is under the policy as well: no names leave by way of the DNS', async () => {
    policy = ['b.test:443'];
    for (const type of ['address', 'A', 'TXT', 'MX', 'ANY'] as const)
      expect(await failure(sandbox().lookup({ name: 'secret.a.test', type, family: 0 }, never))).toMatch(
        /^EACCES/,
      );
    const reverse = sandbox().lookup({ name: '93.184.215.14', type: 'reverse', family: 0 }, never);
    expect(await failure(reverse)).toMatch(/^EACCES/);
  });

  it('takes no place once it is answered', async () => {
    await sandbox().lookup({ name: 'a.test', type: 'address', family: 0 }, never);
    expect(broker.open).toBe(0);
  });
});

describe('limits', () => {
  it('egressConnections counts what is open, of one tenant', async () => {
    limits = { ...limits, egressConnections: 2 };
    const first = await connect('a.test');
    await connect('a.test');
    expect(await failure(connect('a.test'))).toBe('EMFILE: the limit egressConnections (2) is reached');
    await expect(connect('a.test', 443, sandbox(OTHER))).resolves.toBeDefined();
    first.stream.destroy();
    await settled();
    await expect(connect('a.test')).resolves.toBeDefined();
  });

  it('egress.maxConnections counts those of all tenants', async () => {
    for (let n = 0; n < 5; n++) await connect('a.test', 443, sandbox(`t${n}` as TenantId));
    expect(await failure(connect('a.test'))).toMatch(/^EMFILE: the limit egress.maxConnections/);
    expect(broker.open).toBe(5);
  });

  it('egressOpensPerSecond lets ten seconds’ worth come at once, and no more', async () => {
    limits = { ...limits, egressOpensPerSecond: 2 };
    const one = (): Promise<unknown> => connect('10.0.0.1').catch((error: unknown) => error);
    for (let n = 0; n < 20; n++) expect(await one()).toMatchObject({ code: 'EACCES' });
    expect(await failure(connect('a.test'))).toBe('EAGAIN: the limit egressOpensPerSecond (2) is reached');
    await clock.advance(500);
    await expect(connect('a.test')).resolves.toBeDefined();
  });

  it('egressBytesPerDay ends what is open, holds over a restart, and begins anew with the day', async () => {
    limits = { ...limits, egressBytesPerDay: 100 };
    const { stream, count } = bound(await connect('a.test'));
    const ended = new Promise((resolve) => {
      stream.once('error', resolve);
    });
    count('out', 60);
    count('in', 60);
    expect(await ended).toMatchObject({
      code: 'EDQUOT',
      message: 'the limit egressBytesPerDay (100) is reached',
    });
    expect(await failure(connect('a.test'))).toMatch(/^EDQUOT/);
    await clock.advance(5_000);
    expect([amount('egressBytesOut'), amount('egressBytesIn')]).toEqual([60, 60]);
    await clock.advance(86_400_000);
    await expect(connect('a.test')).resolves.toBeDefined();
  });

  it('what was used before a restart counts', async () => {
    limits = { ...limits, egressBytesPerDay: 100 };
    const day = new Date(clock.now()).toISOString().slice(0, 10);
    usage.push({ tenant: ACME, day, name: 'egressBytesIn', amount: 100 });
    expect(await failure(connect('a.test'))).toMatch(/^EDQUOT/);
  });
});

function bound(connection: EgressConnection): Pick<EgressConnection, 'stream' | 'count'> {
  return { stream: connection.stream, count: (direction, bytes) => connection.count(direction, bytes) };
}

describe('what is told', () => {
  it('metrics and usage count everything', async () => {
    const { stream, count } = bound(await connect('a.test'));
    count('out', 5);
    await failure(connect('10.0.0.1'));
    names.delete('a.test');
    await failure(connect('gone.test'));
    stream.destroy();
    await broker.close();
    expect(events).toEqual([
      { kind: 'connect', outcome: 'ok' },
      { kind: 'bytes', direction: 'out', bytes: 5 },
      { kind: 'connect', outcome: 'refused' },
      { kind: 'connect', outcome: 'failed' },
    ]);
    expect([amount('egressConnections'), amount('egressRefused'), amount('egressBytesOut')]).toEqual([
      1, 1, 5,
    ]);
  });

  it('usage that the store did not take is written later', async () => {
    failStore = true;
    const { count } = bound(await connect('a.test'));
    count('in', 7);
    await clock.advance(5_000);
    count('in', 8);
    expect(log).toContain('platform: the usage of tenants was not written; trying again');
    failStore = false;
    await clock.advance(5_000);
    expect([amount('egressBytesIn'), amount('egressConnections')]).toEqual([15, 1]);
  });

  it('a scan of ports does not flood the log', async () => {
    const egress = sandbox();
    for (let port = 1; port <= 300; port++) await failure(connect('10.0.0.1', port, egress));
    expect(log).toHaveLength(10);
    await clock.advance(1_000);
    await failure(connect('10.0.0.1', 1, egress));
    expect(log.slice(10)).toEqual([
      'egress: 290 more refusals in the last second',
      'egress: connect 10.0.0.1:1 refused: it is a private address',
    ]);
  });

  it('names in the log are clean and short', async () => {
    await failure(connect(`\u001b[31m${'x'.repeat(5_000)}.test\n`));
    policy = 'none';
    await failure(connect('10.0.0.1\u001b[31m'));
    for (const line of log) expect(line).toMatch(/^[\x20-\x7e…]{1,300}$/);
  });
});

it('a new policy closes what it does not allow any more, at once', async () => {
  names.set('b.test', ['93.184.215.15']);
  const [a, b] = [await connect('a.test'), await connect('b.test')];
  const other = await connect('a.test', 443, sandbox(OTHER));
  const ended = new Promise((resolve) => {
    a.stream.once('error', resolve);
  });
  policy = ['b.test'];
  broker.recheck(ACME);
  expect(await ended).toMatchObject({ code: 'EACCES' });
  expect([a, b, other].map(({ stream }) => stream.destroyed)).toEqual([true, false, false]);
});

it('closing ends all connections', async () => {
  const { stream } = await connect('a.test');
  stream.once('error', () => undefined);
  await broker.close();
  expect(stream.destroyed).toBe(true);
});
