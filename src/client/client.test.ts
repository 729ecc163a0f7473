import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { ClientError } from './client-error.ts';
import { BerthClient } from './client.ts';
import { FakePlatform } from './testing/fake-platform.ts';
import { FakeTenants } from './testing/fake-tenants.ts';

let platform: FakePlatform;
let fake: FakeTenants;
let client: BerthClient;

beforeEach(async () => {
  platform = await FakePlatform.start();
  fake = new FakeTenants(platform);
  client = new BerthClient({ url: platform.url, token: platform.token });
});
afterEach(() => platform.close());

async function failure(work: Promise<unknown>): Promise<ClientError> {
  const error: unknown = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ClientError);
  return error as ClientError;
}

describe('calls', () => {
  it('make, list over several pages, change and delete tenants', async () => {
    for (const id of ['a', 'b', 'c']) await client.createTenant({ id, limits: { wallMs: 1_000 } });
    const ids: string[] = [];
    for await (const { id } of client.tenants(2)) ids.push(id);
    expect(ids).toEqual(['a', 'b', 'c']);
    expect(platform.requests.filter(({ method }) => method === 'GET').map(({ query }) => query)).toEqual([
      { limit: '2' },
      { after: 'b', limit: '2' },
    ]);
    expect((await client.tenant('a').update({ state: 'suspended' })).state).toBe('suspended');
    await client.tenant('a').delete();
    expect(fake.tenants.has('a')).toBe(false);
  });

  it('deploy text as text, and what is not UTF-8 as base64', async () => {
    fake.add('acme');
    const fn = client.tenant('acme').function('hello+1');
    const { revision, url } = await fn.deploy({ source: Buffer.from('export default 1'), filename: 'x.ts' });
    expect(revision).toMatchObject({ number: 1, language: 'typescript' });
    expect(url).toContain('/run/acme/hello+1');
    await fn.deploy({ source: Uint8Array.from([0xff, 0xfe]) });
    const bodies = platform.requests.map(({ body }) => body);
    expect(bodies[0]).toEqual({ source: 'export default 1', filename: 'x.ts' });
    expect(bodies[1]).toEqual({ sourceBase64: '//4=' });
  });

  it('encode every part of a path, so that no name can reach another route', async () => {
    await failure(client.tenant('../../healthz').get());
    await failure(client.tenant('a').function('x/../../y?z#').secretNames());
    expect(platform.requests.map(({ path }) => path)).toEqual([
      '/v1/tenants/..%2F..%2Fhealthz',
      '/v1/tenants/a/functions/x%2F..%2F..%2Fy%3Fz%23/secrets',
    ]);
  });

  it('take readiness as an answer even when it is 503', async () => {
    platform.on('GET', '/readyz', (_request, response) => {
      response.writeHead(503).end(JSON.stringify({ isReady: false, reasons: ['no sandbox'] }));
    });
    expect(await client.readiness()).toEqual({ isReady: false, reasons: ['no sandbox'] });
  });
});

describe('failures', () => {
  it('carry code, sentence, way out and facts of the platform', async () => {
    platform.on('GET', '/v1/limits', () => {
      throw new BerthError('CODE_INVALID', { reason: 'oops', file: 'a.ts', line: 3, column: 7 });
    });
    const error = await failure(client.limits());
    expect(error).toMatchObject({
      code: 'CODE_INVALID',
      status: 400,
      facts: { file: 'a.ts', line: 3, column: 7 },
    });
    expect(error.message).toContain('a.ts:3:7');
    expect(error.wayOut).toContain('deploy again');
  });

  it('say that nothing listens, and how to start it', async () => {
    await platform.close();
    const error = await failure(client.limits());
    expect(error).toMatchObject({ code: 'UNREACHABLE', status: null });
    expect(error.message).toContain('nothing listens there');
    expect(error.wayOut).toContain('npm start');
  });

  it('say that nothing answered in time', async () => {
    platform.on('GET', '/v1/limits', () => new Promise(() => {}));
    const hasty = new BerthClient({ url: platform.url, token: platform.token, timeoutMs: 50 });
    expect((await failure(hasty.limits())).message).toContain('did not answer in time');
  });

  it.each([
    ['a page of a proxy', '<html>502</html>', 502],
    ['an answer of another program', '{"hello":1}', 200],
    ['a redirect', '', 302],
    ['a code that is not in the registry', '{"code":"__proto__","detail":"x","wayOut":"y"}', 400],
  ])('call %s what it is', async (_name, text, status) => {
    platform.on('GET', '/v1/limits', (_request, response) => void response.writeHead(status).end(text));
    expect(await failure(client.limits())).toMatchObject({ code: 'NOT_BERTH', status });
  });

  it('refuse an address that is none', () => {
    for (const url of ['127.0.0.1:8787', 'file:///etc', ''])
      expect(() => new BerthClient({ url, token: null })).toThrow(ClientError);
  });
});

describe('live logs', () => {
  const line = (text: string) =>
    JSON.stringify({
      at: 1,
      tenant: 'a',
      function: 'f',
      revision: null,
      invocation: null,
      source: 'console',
      level: 'info',
      text,
    });

  it('come one by one, from any cut of the bytes, until the signal', async () => {
    const stop = new AbortController();
    platform.on('GET', '/v1/tenants/a/logs/stream', async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const bytes = Buffer.from(`: open\n\nid: 1\ndata: ${line('één')}\n\ndata: ${line('two')}\r\n\r\n`);
      for (const byte of bytes) {
        response.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const texts: string[] = [];
    let isOpen = false;
    for await (const { text } of client
      .tenant('a')
      .logs.follow({}, { signal: stop.signal, onOpen: () => (isOpen = true) })) {
      texts.push(text);
      if (texts.length === 2) stop.abort();
    }
    expect(texts).toEqual(['één', 'two']);
    expect(isOpen).toBe(true);
  });

  it('end with the problem that the platform names', async () => {
    platform.on('GET', '/v1/tenants/a/logs/stream', (_request, response) => {
      const problem = { code: 'TOKEN_INVALID', detail: 'The token is revoked.', wayOut: 'Get a new one.' };
      response.writeHead(200).end(`event: closed\ndata: ${JSON.stringify(problem)}\n\n`);
    });
    const reading = client.tenant('a').logs.follow({}, { signal: new AbortController().signal }).next();
    expect(await failure(reading)).toMatchObject({ code: 'TOKEN_INVALID' });
  });
});
