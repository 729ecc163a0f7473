/** `node:dns` of tenants' code, and the resolver of the broker that answers it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createResolver, type Resolver } from '../../src/sandboxes/egress/resolver.ts';
import { NameServer } from '../support/name-server.ts';
import { type EgressWorld, LOOPBACK, openEgressWorld } from './egress-world.ts';

describe('in a sandbox', () => {
  let world: EgressWorld;
  beforeAll(async () => {
    world = await openEgressWorld();
    world.names.set('two.test', ['93.184.215.14', '2606:4700::1111']);
    world.records.set('A two.test', ['93.184.215.14']);
    world.records.set('MX mail.test', [{ exchange: 'mx.mail.test', priority: 10 }]);
    world.records.set('TXT text.test', [['one', 'two']]);
    world.records.set('SRV _db._tcp.test.test', [{ name: 'db.test', port: 5432, priority: 1, weight: 2 }]);
    world.records.set('reverse 93.184.215.14', ['two.test']);
  });
  afterAll(() => world.close());

  it('lookup, with callbacks and promises, in every form', async () => {
    const seen = await world.run<Record<string, unknown>>(`
      const dns = require('node:dns');
      const called = (name, options) => new Promise((done) => dns.lookup(name, options, (error, ...values) => done(error?.code ?? values)));
      return {
        plain: await called('two.test', {}),
        six: await called('two.test', 6),
        all: await called('two.test', { all: true, order: 'ipv6first' }),
        promised: await dns.promises.lookup('two.test', { all: true, order: 'ipv4first' }),
        promisified: await require('node:util').promisify(dns.lookup)('two.test'),
        imported: (await (await import('node:dns/promises')).lookup('two.test')).address,
        local: await dns.promises.lookup('localhost'),
        address: await dns.promises.lookup('93.184.215.14'),
        missing: await called('gone.test', {}),
        invalid: await called('x'.repeat(300), {}),
        unicode: await called('b\\u00fccher.test', {}),
      };`);
    expect(seen).toEqual({
      plain: ['93.184.215.14', 4],
      six: ['2606:4700::1111', 6],
      all: [
        [
          { address: '2606:4700::1111', family: 6 },
          { address: '93.184.215.14', family: 4 },
        ],
      ],
      promised: [
        { address: '93.184.215.14', family: 4 },
        { address: '2606:4700::1111', family: 6 },
      ],
      promisified: { address: '93.184.215.14', family: 4 },
      imported: '93.184.215.14',
      local: { address: '127.0.0.1', family: 4 },
      address: { address: '93.184.215.14', family: 4 },
      missing: 'ENOTFOUND',
      invalid: 'ENOTFOUND',
      unicode: 'ENOTFOUND',
    });
    expect(world.asked).toContain('xn--bcher-kva.test');
  });

  it('resolve and reverse, of the module and of resolvers of the code’s own', async () => {
    const seen = await world.run<Record<string, unknown>>(`
      const dns = require('node:dns');
      const resolver = new dns.promises.Resolver();
      resolver.setServers(['192.0.2.1']);
      const called = new Promise((done) => new dns.Resolver().resolve('text.test', 'TXT', (error, records) => done(records)));
      return {
        a: await dns.promises.resolve4('two.test', { ttl: true }),
        plain: await resolver.resolve('two.test'),
        mx: await dns.promises.resolveMx('mail.test'),
        txt: await called,
        srv: await resolver.resolveSrv('_db._tcp.test.test'),
        reverse: await dns.promises.reverse('93.184.215.14'),
        nothing: await dns.promises.resolveNs('two.test').catch(({ code, syscall, hostname }) => [code, syscall, hostname]),
      };`);
    expect(seen).toEqual({
      a: [{ address: '93.184.215.14', ttl: 60 }],
      plain: ['93.184.215.14'],
      mx: [{ exchange: 'mx.mail.test', priority: 10 }],
      txt: [['one', 'two']],
      srv: [{ name: 'db.test', port: 5432, priority: 1, weight: 2 }],
      reverse: ['two.test'],
      nothing: ['ENODATA', 'queryNs', 'two.test'],
    });
  });

  it('a refusal is an EACCES with its reason', async () => {
    world.policy = ['other.test'];
    const seen = await world.run<unknown>(`
      const { promises: dns } = require('node:dns');
      const failure = (promise) => promise.then(() => 'told', ({ code, message }) => [code, message]);
      return Promise.all([failure(dns.lookup('two.test')), failure(dns.resolveTxt('two.test'))]);`);
    world.policy = LOOPBACK;
    expect(seen).toEqual([
      ['EACCES', 'getaddrinfo EACCES two.test: the policy of the tenant does not name it'],
      ['EACCES', 'queryTxt EACCES two.test: the policy of the tenant does not name it'],
    ]);
  });
});

describe('the broker’s resolver', () => {
  let server: NameServer;
  let resolver: Resolver;
  beforeAll(async () => {
    server = await NameServer.start();
    server.names.set('two.test', { a: ['93.184.215.14', '10.0.0.1'], txt: 'hello', mx: 'mx.test' });
    server.names.set('empty.test', {});
    resolver = createResolver({
      servers: [server.address],
      readHosts: () =>
        '# comment\n10.9.9.9  Hosts.test alias.test # more\n::1 six.test\nnonsense hosts.test\n',
      hasIpv6: () => false,
    });
  });
  afterAll(() => server.close());

  it('asks the name servers, and only for addresses that the host can reach', async () => {
    expect(await resolver.addresses('two.test', 0)).toEqual([
      { address: '93.184.215.14', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ]);
    expect(server.asked).toEqual(['two.test']);
    expect(await resolver.records('two.test', 'A')).toEqual({
      result: ['93.184.215.14', '10.0.0.1'],
      ttls: [1, 1],
    });
    expect(await resolver.records('two.test', 'TXT')).toEqual({ result: [['hello']] });
    expect(await resolver.records('two.test', 'MX')).toMatchObject({
      result: [{ exchange: 'mx.test', priority: 10 }],
    });
  });

  it('reads the hosts file first', async () => {
    expect(await resolver.addresses('hosts.test', 0)).toEqual([{ address: '10.9.9.9', family: 4 }]);
    expect(await resolver.addresses('alias.test', 4)).toEqual([{ address: '10.9.9.9', family: 4 }]);
    expect(await resolver.addresses('six.test', 6)).toEqual([{ address: '::1', family: 6 }]);
  });

  it('says what is missing', async () => {
    await expect(resolver.addresses('gone.test', 0)).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.addresses('empty.test', 0)).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.records('gone.test', 'TXT')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    await expect(resolver.records('empty.test', 'TXT')).rejects.toMatchObject({ code: 'ENODATA' });
  });
});
