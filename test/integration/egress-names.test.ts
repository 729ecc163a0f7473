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

  it('TLSA records, in their own question and in ANY, with the bytes that they hold', async () => {
    const association = {
      certUsage: 3,
      selector: 1,
      match: 1,
      data: Buffer.of(1, 2, 255).toString('base64'),
    };
    world.records.set('TLSA _443._tcp.mail.test', [association]);
    world.records.set('ANY mail.test', [
      { type: 'TXT', entries: ['a'] },
      { ...association, type: 'TLSA' },
    ]);
    const seen = await world.run<unknown>(`
      const dns = require('node:dns').promises;
      const shown = ({ data, ...rest }) => ({ ...rest, ...(data instanceof ArrayBuffer ? { bytes: [...new Uint8Array(data)] } : {}) });
      return [(await dns.resolveTlsa('_443._tcp.mail.test')).map(shown), (await dns.resolveAny('mail.test')).map(shown)];`);
    const shown = { certUsage: 3, selector: 1, match: 1, bytes: [1, 2, 255] };
    expect(seen).toEqual([
      [shown],
      [
        { type: 'TXT', entries: ['a'] },
        { ...shown, type: 'TLSA' },
      ],
    ]);
  });

  it('lookupService tells the name of an address, and the service by its number', async () => {
    const seen = await world.run<unknown>(`
      const dns = require('node:dns');
      const failure = (promise) => promise.then(() => 'told', ({ code, syscall, hostname }) => [code, syscall, hostname]);
      return [
        await dns.promises.lookupService('93.184.215.14', 443),
        await new Promise((done) => dns.lookupService('127.0.0.1', 22, (_, ...values) => done(values))),
        await failure(dns.promises.lookupService('93.184.215.15', 443)),
        await failure(dns.promises.lookupService('10.0.0.1', 80)),
      ];`);
    expect(seen).toEqual([
      { hostname: 'two.test', service: '443' },
      ['localhost', '22'],
      ['ENOTFOUND', 'getnameinfo', '93.184.215.15'],
      ['EACCES', 'getnameinfo', '10.0.0.1'],
    ]);
  });

  it('a resolver that is told to cancel gives up its own questions, and no others', async () => {
    const seen = await world.run<unknown>(`
      const { Resolver } = require('node:dns').promises;
      const [one, other] = [new Resolver(), new Resolver()];
      const failure = (promise) => promise.then(() => 'told', ({ code }) => code);
      const asked = [failure(one.resolveMx('mail.test')), failure(one.resolveTxt('text.test')), failure(other.resolveTxt('text.test'))];
      one.cancel();
      return Promise.all([...asked, failure(one.resolveTxt('text.test'))]);`);
    expect(seen).toEqual(['ECANCELLED', 'ECANCELLED', 'told', 'told']);
  });

  /** All functions of `dns`, `dns.promises` and both kinds of resolver: what is not in here is unknown to us. */
  const ASKS =
    /^(?:lookup|lookupService|reverse|resolve(?:[46]|Any|Caa|Cname|Mx|Naptr|Ns|Ptr|Soa|Srv|Tlsa|Txt)?)$/;
  const ASKS_NOBODY =
    /^(?:constructor|Resolver|[gs]etServers|[gs]etDefaultResultOrder|setLocalAddress|cancel)$/;

  it('each function of the pinned Node asks the broker, or nobody', async () => {
    const seen = await world.run<Record<string, Record<string, string>>>(`
      const dns = require('node:dns');
      const functionsOf = (value) => value === Object.prototype || value === null ? [] : [...Object.getOwnPropertyNames(value).filter((name) => typeof value[name] === 'function'), ...functionsOf(Object.getPrototypeOf(value))];
      const places = { dns, promises: dns.promises, resolver: new dns.Resolver(), promised: new dns.promises.Resolver() };
      const told = {};
      for (const [place, owner] of Object.entries(places)) {
        told[place] = {};
        for (const name of functionsOf(owner)) {
          told[place][name] = '';
          if (!${ASKS}.test(name)) continue;
          const isOfAddress = /reverse|Service/.test(name);
          const target = isOfAddress ? '93.1.' + (Object.keys(told).length) + '.' + (Object.keys(told[place]).length) : name.toLowerCase() + '.' + place + '.test';
          const values = name === 'lookupService' ? [target, 80] : [target];
          const byPromise = place === 'promises' || place === 'promised';
          told[place][name] = target + ' ' + await (byPromise ? owner[name](...values).catch(({ code }) => code) : new Promise((done) => owner[name](...values, (error) => done(error?.code))));
        }
      }
      return told;`);
    expect(Object.keys(seen)).toEqual(['dns', 'promises', 'resolver', 'promised']);
    for (const [place, functions] of Object.entries(seen)) {
      expect(Object.keys(functions).length, place).toBeGreaterThan(18);
      for (const [name, told] of Object.entries(functions)) {
        if (!ASKS.test(name)) expect(name).toMatch(ASKS_NOBODY);
        else {
          const [target, code] = told.split(' ');
          expect(world.asked, `${place}.${name}`).toContain(target);
          expect(code, `${place}.${name}`).toMatch(/^(?:ENOTFOUND|ENODATA)$/);
        }
      }
    }
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
    server.names.set('two.test', {
      a: ['93.184.215.14', '10.0.0.1'],
      txt: 'hello',
      mx: 'mx.test',
      tlsa: [3, 1, 1, 0xab, 0xcd],
    });
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
    expect(await resolver.records('two.test', 'TLSA')).toEqual({
      result: [{ certUsage: 3, selector: 1, match: 1, data: 'q80=' }],
    });
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
