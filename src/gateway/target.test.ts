import { beforeEach, describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { FakeDirectory } from '../invoke/testing/bench-host.ts';
import { FunctionTarget, TargetResolver } from './target.ts';

let resolver: TargetResolver;
let withDomain: TargetResolver;

beforeEach(() => {
  const directory = new FakeDirectory();
  directory.addTenant('acme');
  directory.addTenant('v1');
  for (const name of ['hello', 'a+b', '@scope', 'v1', 'run']) directory.addFunction('acme', name);
  resolver = new TargetResolver({ directory, domain: null });
  withDomain = new TargetResolver({ directory, domain: 'berth.test' });
});

/** In words, for comparing. */
function meaning(url: string, host = '127.0.0.1:8787', of = resolver): string {
  const target = of.resolve(url, host);
  if (target instanceof FunctionTarget)
    return `${target.route.tenant.id} ${target.route.fn} ${target.url} [${target.basePath}]`;
  return target instanceof BerthError ? target.code : target;
}

describe('an address under /run', () => {
  it.each([
    ['/run/acme/hello', 'acme hello / [/run/acme/hello]'],
    ['/run/acme/hello/', 'acme hello / [/run/acme/hello]'],
    ['/run/acme/hello?a=1', 'acme hello /?a=1 [/run/acme/hello]'],
    ['/run/acme/hello/x/y?z=/w', 'acme hello /x/y?z=/w [/run/acme/hello]'],
    ['/run/acme/hello?next=/x/y', 'acme hello /?next=/x/y [/run/acme/hello]'],
    ['/run/acme/a+b', 'acme a+b / [/run/acme/a+b]'],
    ['/run/acme/a%2Bb/c', 'acme a+b /c [/run/acme/a%2Bb]'],
    ['/run/acme/%40scope', 'acme @scope / [/run/acme/%40scope]'],
    ['/run/%61cme/hello', 'acme hello / [/run/%61cme/hello]'],
  ])('%s means %s', (url, meant) => expect(meaning(url)).toBe(meant));

  it('gives the function the rest exactly as it was sent', () => {
    for (const rest of [
      '/a%2fb',
      '/a//b',
      '//',
      '/%2F%2f',
      '/a;b=c',
      '/%41',
      '/...',
      '/.hidden',
      '/x..y',
      '/%c3%a4',
      '/ä',
    ])
      expect(meaning(`/run/acme/hello${rest}`)).toBe(`acme hello ${rest} [/run/acme/hello]`);
  });

  it.each([
    '/run/acme/..',
    '/run/acme/../globex/hello',
    '/run/acme/hello/../other',
    '/run/acme/hello/%2e%2e/other',
    '/run/acme/hello/.%2E',
    '/run/acme/hello/./x',
    '/run/acme/hello/%2e',
    '/run/acme/hel%2flo',
    '/run/acme%2fhello/x',
    '/run/acme/%252e%252e',
    '/run//acme/hello',
    '//run/acme/hello',
    '/run/acme\\hello',
    '/run/acme/hello\\..\\x',
    '/run/acme/hello%00',
    '/run/acme/hello/%00',
    '/run/acme/he\0llo',
    '/run/acme/hello#x',
    '/run/acme/hello?a=\x01',
    '/run/acme/%zz',
    '/run/acme/%c3',
    '/run/ACME/hello',
    '/run/acme./hello',
    '/run/acme/hel lo',
    'http://127.0.0.1/run/acme/hello',
    'acme/hello',
    '*',
    '',
  ])('%j is refused', (url) => expect(meaning(url)).toBe('BAD_REQUEST'));

  it.each(['/run', '/run/', '/run/acme', '/run/acme/', '/run/acme/?x=/y'])('%j is nothing', (url) =>
    expect(meaning(url)).toBe('ROUTE_NOT_FOUND'),
  );

  it('of a function that is not there says so, whoever is asked for', () => {
    expect(meaning('/run/acme/missing')).toBe('NOT_FOUND');
    expect(meaning('/run/globex/hello')).toBe('NOT_FOUND');
    expect(meaning('/run/acme/__proto__')).toBe('NOT_FOUND');
    expect(meaning('/run/constructor/hello')).toBe('NOT_FOUND');
  });
});

describe('all other addresses', () => {
  it.each([
    '/',
    '/v1/tenants',
    '/api/run/acme/hello',
    '/healthz',
    '/runner',
    '/RUN/acme/hello',
    '/%72un/acme/hello',
  ])('%s goes to the control plane', (url) => expect(meaning(url)).toBe('control'));

  it('are refused where they are ambiguous', () => {
    for (const url of ['/v1/../run/acme/hello', '/v1/tenants/%2e%2e', '//v1', '/v1\\x', '/v1/%00'])
      expect(meaning(url)).toBe('BAD_REQUEST');
  });
});

describe('with a domain', () => {
  const at = (host: string, url: string): string => meaning(url, host, withDomain);

  it('a tenant has a host of its own', () => {
    expect(at('acme.berth.test', '/hello/x?y')).toBe('acme hello /x?y [/hello]');
    expect(at('ACME.Berth.Test:8787', '/hello')).toBe('acme hello / [/hello]');
  });

  it('on which everything is a function of that tenant', () => {
    expect(at('acme.berth.test', '/v1/tenants')).toBe('acme v1 /tenants [/v1]');
    expect(at('acme.berth.test', '/run/globex/hello')).toBe('acme run /globex/hello [/run]');
    expect(at('acme.berth.test', '/healthz')).toBe('NOT_FOUND');
    expect(at('acme.berth.test', '/')).toBe('ROUTE_NOT_FOUND');
    expect(at('acme.berth.test', '/%2e%2e/hello')).toBe('BAD_REQUEST');
  });

  it('no other host is a tenant’s', () => {
    expect(at('berth.test', '/hello')).toBe('control');
    expect(at('acmeberth.test', '/hello')).toBe('control');
    expect(at('acme.berth.test.evil.example', '/hello')).toBe('control');
    expect(at('a.acme.berth.test', '/hello')).toBe('BAD_REQUEST');
    expect(at('.berth.test', '/hello')).toBe('BAD_REQUEST');
    expect(at('globex.berth.test', '/hello')).toBe('NOT_FOUND');
    expect(at('foreign.example', '/run/acme/hello')).toBe('acme hello / [/run/acme/hello]');
  });

  it.each([
    '',
    'a b',
    'acme.berth.test/',
    'user@acme.berth.test',
    'acme%2eberth.test',
    'acme.berth.test.',
    'a,b',
    'a:x',
    'ä',
  ])('the host %j is refused', (host) => expect(at(host, '/hello')).toBe('BAD_REQUEST'));

  it('an address in brackets is a host', () => {
    expect(at('[::1]:8787', '/healthz')).toBe('control');
  });
});
