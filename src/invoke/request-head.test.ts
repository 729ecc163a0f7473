import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { declaredBodyBytes, forwardRequest, type RequestHeadOptions } from './request-head.ts';

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const OWN_TRACE = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-00`;

function request(rawHeaders: string[], remoteAddress = '::ffff:192.0.2.7'): IncomingMessage {
  const headers: Record<string, string> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    headers[name] = name in headers ? `${headers[name]}, ${rawHeaders[index + 1]}` : rawHeaders[index + 1]!;
  }
  return {
    method: 'GET',
    url: '/',
    rawHeaders,
    headers,
    socket: { remoteAddress },
  } as unknown as IncomingMessage;
}

function forward(rawHeaders: string[], options: Partial<RequestHeadOptions> = {}) {
  const forwarded = forwardRequest(request(rawHeaders), {
    invocation: 'i1',
    traceParent: () => OWN_TRACE,
    trustProxy: false,
    isUpgrade: false,
    headers: undefined,
    ...options,
  });
  const values = (name: string): string[] =>
    forwarded.headers.filter((_, index, all) => index % 2 === 1 && all[index - 1]!.toLowerCase() === name);
  return { ...forwarded, values };
}

describe('what a function sees of a request', () => {
  it('is the headers as they were sent, in order and spelling', () => {
    const { headers } = forward(['Host', 'a.test', 'X-One', '1', 'x-one', '2', 'Cookie', 'c']);
    expect(headers.slice(0, 8)).toEqual(['Host', 'a.test', 'X-One', '1', 'x-one', '2', 'Cookie', 'c']);
  });

  it('holds nothing that only the platform may say', () => {
    const { headers, values } = forward([
      'X-WT-Params',
      'e30=',
      'x-berth-hops',
      '0',
      'X-Berth-Invocation',
      'forged',
      'x-berth-anything',
      'forged',
    ]);
    expect(headers).not.toContain('forged');
    expect(values('x-wt-params')).toEqual([]);
    expect(values('x-berth-hops')).toEqual([]);
    expect(values('x-berth-invocation')).toEqual(['i1']);
  });

  it('says who called as we saw it, not as the caller says', () => {
    const forged = [
      'Forwarded',
      'X-Forwarded-For',
      'x-forwarded-proto',
      'X-Forwarded-Host',
      'X-Real-IP',
      'True-Client-IP',
    ];
    const { values, remoteAddress, scheme, headers } = forward([
      'host',
      'a.test',
      ...forged.flatMap((name) => [name, 'https']),
      'X-Forwarded-User',
      'admin',
    ]);
    expect(remoteAddress).toBe('192.0.2.7');
    expect(scheme).toBe('http');
    expect(values('x-forwarded-for')).toEqual(['192.0.2.7']);
    expect(values('x-forwarded-proto')).toEqual(['http']);
    expect(values('x-forwarded-host')).toEqual(['a.test']);
    expect(headers).not.toContain('https');
    expect(headers).not.toContain('admin');
  });

  it('believes the nearest proxy where the operator trusts one', () => {
    const { values, remoteAddress, scheme } = forward(
      [
        'host',
        'inside',
        'x-forwarded-for',
        '6.6.6.6, 198.51.100.4',
        'x-forwarded-proto',
        'https',
        'x-forwarded-host',
        'a.test',
      ],
      { trustProxy: true },
    );
    expect(remoteAddress).toBe('198.51.100.4');
    expect(scheme).toBe('https');
    expect(values('x-forwarded-for')).toEqual(['6.6.6.6, 198.51.100.4, 192.0.2.7']);
    expect(values('x-forwarded-proto')).toEqual(['https']);
    expect(values('x-forwarded-host')).toEqual(['a.test']);
  });

  it('loses the headers of the connection, and those that Connection names, but not the length or the host', () => {
    const { headers } = forward([
      'Host', 'a.test', 'Connection', 'X-Hop, content-length, Host', 'X-Hop', '1', 'TE', 'trailers', 'Keep-Alive', '5',
      'Proxy-Authorization', 'secret', 'Expect', '100-continue', 'Content-Length', '3', 'Trailer', 'x',
    ]); // prettier-ignore
    expect(headers.slice(0, 4)).toEqual(['Host', 'a.test', 'Content-Length', '3']);
    expect(headers).not.toContain('secret');
    expect(headers).not.toContain('X-Hop');
    expect(headers).not.toContain('100-continue');
  });

  it('says that there is a body of unknown length', () => {
    expect(forward(['Transfer-Encoding', 'chunked']).values('transfer-encoding')).toEqual(['chunked']);
  });

  it('keeps a valid trace, and begins one otherwise', () => {
    expect(forward(['traceparent', TRACE]).values('traceparent')).toEqual([TRACE]);
    expect(forward(['traceparent', 'nonsense']).values('traceparent')).toEqual([OWN_TRACE]);
    expect(forward(['traceparent', TRACE, 'traceparent', OWN_TRACE]).values('traceparent')).toEqual([TRACE]);
  });

  it('holds Upgrade only in an upgrade', () => {
    const sent = ['Connection', 'Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Key', 'k'];
    expect(forward(sent).values('upgrade')).toEqual([]);
    const { values } = forward(sent, { isUpgrade: true });
    expect(values('upgrade')).toEqual(['websocket']);
    expect(values('connection')).toEqual(['Upgrade']);
    expect(values('sec-websocket-key')).toEqual(['k']);
  });

  it('applies the same rules to headers that a face gives instead', () => {
    const { values } = forward(['a', '1'], { headers: ['b', '2', 'x-wt-params', 'forged'] });
    expect([values('a'), values('b'), values('x-wt-params')]).toEqual([[], ['2'], []]);
  });
});

it('a body is none, of a length, or of unknown length', () => {
  expect(declaredBodyBytes(request([]))).toBe(0);
  expect(declaredBodyBytes(request(['content-length', '12']))).toBe(12);
  expect(declaredBodyBytes(request(['transfer-encoding', 'chunked']))).toBe(-1);
});
