/** The way out through the real platform: policy on live sandboxes, own functions, usage that survives a restart. */
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listening } from '../support/listening.ts';
import { NameServer } from '../support/name-server.ts';
import { eventually, TestPlatform } from '../support/platform.ts';

let platform: TestPlatform;
let dns: NameServer;
let url: string;
let upstreamPort: number;
const upstream = createServer((request, response) => {
  if (request.url === '/hang') response.write('begun');
  else response.end('x'.repeat(10_000));
});

beforeAll(async () => {
  dns = await NameServer.start();
  upstreamPort = await listening(upstream);
  dns.names.set('upstream.test', { a: ['127.0.0.1'] });
  url = `http://upstream.test:${upstreamPort}`;
  platform = await TestPlatform.start({
    BERTH_EGRESS_DNS: dns.address,
    BERTH_EGRESS_ALLOW: `upstream.test:${upstreamPort}`,
  });
  await platform.createTenant('acme');
});
afterAll(async () => {
  await platform.stop();
  upstream.closeAllConnections();
  upstream.close();
  dns.close();
});

const json = async (fn: string, path = ''): Promise<unknown> =>
  (await platform.call('acme', fn, { path })).json();

it('a new policy holds for live sandboxes at once, and closes what is open', async () => {
  await platform.deploy(
    'acme',
    'out',
    `const sandbox = crypto.randomUUID();
    module.exports = async (ctx) => {
      try { return { got: (await (await fetch('${url}' + (ctx.query.path ?? '/'))).text()).length, sandbox }; }
      catch (error) { return { code: (error.cause ?? error).code, cause: String(error.cause?.message) }; }
    };`,
  );
  const before = await json('out');
  expect(before).toMatchObject({ got: 10_000 });
  const hanging = json('out', '?path=/hang');
  await eventually(async () => expect(await platform.metric('berth_egress_open')).toBeGreaterThan(0));
  await platform.must('PATCH', '/v1/tenants/acme', { egress: 'none' });
  expect(await hanging).toMatchObject({ code: 'EACCES' });
  expect(await json('out')).toMatchObject({
    code: 'EACCES',
    cause: expect.stringContaining('the policy of the tenant is none') as string,
  });
  await platform.must('PATCH', '/v1/tenants/acme', { egress: [`upstream.test:${upstreamPort}`] });
  expect(await json('out')).toEqual(before);
});

it('functions call each other by name, private ones too, and nobody else’s', async () => {
  await platform.createTenant('globex');
  await platform.deploy('globex', 'theirs', 'module.exports = (cb) => cb(null, { of: "globex" })');
  await platform.deploy(
    'acme',
    'secret',
    'module.exports = async (ctx) => new Response(ctx.query.name + " " + ctx.headers["x-forwarded-for"])',
    { access: 'token' },
  );
  await platform.deploy(
    'acme',
    'front',
    `module.exports = async () => ({
      own: await (await fetch('http://secret.berth.internal/?name=you')).text(),
      theirs: await fetch('http://theirs.berth.internal/').catch(({ cause }) => cause.code),
      encrypted: await fetch('https://secret.berth.internal/').catch(({ cause }) => cause.code),
    });`,
  );
  expect(await json('front')).toEqual({ own: 'you 127.0.0.1', theirs: 'ENOTFOUND', encrypted: 'EACCES' });
});

it('what was used is told by day, and is there after a restart', async () => {
  interface Usage {
    readonly items: readonly { readonly day: string; readonly name: string; readonly amount: number }[];
  }
  const used = async (): Promise<Record<string, number>> => {
    const { items } = await platform.must<Usage>('GET', '/v1/tenants/acme/usage?days=2');
    const sums: Record<string, number> = {};
    for (const { name, amount } of items) sums[name] = (sums[name] ?? 0) + amount;
    return sums;
  };
  await platform.end('SIGTERM');
  await platform.restart();
  const before = await used();
  expect(before['egressBytesIn']).toBeGreaterThan(20_000);
  expect(before['egressConnections']).toBeGreaterThan(2);
  expect(before['egressRefused']).toBeGreaterThan(1);
  await platform.must('PATCH', '/v1/tenants/acme', { limits: { egressBytesPerDay: 1_000 } });
  expect(await json('out')).toMatchObject({
    code: 'EDQUOT',
    cause: expect.stringContaining('egressBytesPerDay (1000)') as string,
  });
});
