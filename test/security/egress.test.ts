/** Hostile code, case 23: what a tenant who has read the broker tries against it. */
import { afterAll, describe, expect, it } from 'vitest';
import { NameServer } from '../support/name-server.ts';
import { Arena } from './arena.ts';

const dns = await NameServer.start();

const arena = Arena.prepare({}, { BERTH_EGRESS_DNS: dns.address });
afterAll(() => dns.close());

describe('23: the DNS, asked in other ways', () => {
  it('tells no private address in records of all types, and no name of one', async () => {
    dns.names.set('inner.test', { a: ['10.1.2.3'], txt: 'public' });
    dns.names.set('both.test', { a: ['10.1.2.3', '93.184.215.14'] });
    dns.names.set('3.2.1.10.in-addr.arpa', { ptr: 'vault.corp.test' });
    const seen = await arena.result<Record<string, string>>(
      `
      const dns = require('node:dns').promises;
      const tell = (asked) => asked.then((found) => JSON.stringify(found), ({ code }) => code);
      module.exports = async () => ({
        inner: await tell(dns.resolveAny('inner.test')),
        both: await tell(dns.resolveAny('both.test')),
        reverse: await tell(dns.reverse('10.1.2.3')),
        ptr: await tell(dns.resolvePtr('3.2.1.10.in-addr.arpa')),
        capitals: await tell(dns.resolvePtr('3.2.1.10.IN-ADDR.ARPA.')),
        any: await tell(dns.resolveAny('3.2.1.10.in-addr.arpa')),
      });`,
      'questions',
    );
    expect(JSON.stringify(seen)).not.toMatch(/10\.1\.2\.3|vault/);
    expect(seen).toMatchObject({ inner: 'EACCES', reverse: 'EACCES', ptr: 'EACCES', capitals: 'EACCES' });
    expect(seen['any']).toBe('EACCES');
    expect(seen['both']).toContain('93.184.215.14');
    expect(dns.asked).not.toContain('3.2.1.10.in-addr.arpa');
    await arena.logLine('questions', /^egress: look-up of 3\.2\.1\.10\.in-addr\.arpa refused: .*private/);
  });
});
