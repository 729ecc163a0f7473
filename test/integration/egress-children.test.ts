/** Child processes have a `net` of their own: they are given proxies on the sandbox's loopback. */
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer as createNet, type Server } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type EgressWorld, LOOPBACK, openEgressWorld } from './egress-world.ts';

let world: EgressWorld;
const http = createHttp((request, response) => {
  let size = 0;
  request.on('data', (chunk: Buffer) => (size += chunk.length));
  request.on('end', () => {
    response.setHeader('x-seen', JSON.stringify(request.headers));
    response.end(`${request.method} ${request.url} ${size} ${request.headers.host}`);
  });
});
const echo = createNet({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
const servers: readonly Server[] = [http, echo];
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

beforeAll(async () => {
  world = await openEgressWorld();
  for (const server of servers) await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  world.names.set('upstream.test', ['127.0.0.1']);
  world.names.set('inner.test', ['10.0.0.1']);
});
afterAll(async () => {
  await world.close();
  for (const server of servers) server.close();
});

/** Runs code in a child process of the function. @returns what it prints, from JSON */
function inChild<T>(code: string, env = ''): Promise<T> {
  return world.run<T>(`
    const { execFile } = require('node:child_process');
    const code = ${JSON.stringify(code)};
    return new Promise((done, fail) => execFile(process.execPath, ['-e', code], { env: { ...process.env, ${env} } }, (error, out, err) =>
      error ? fail(new Error(err)) : done(JSON.parse(out))));`);
}

/** Says raw bytes to the proxy, as any client may. @returns what came back until the end, in latin1 */
function raw(pieces: readonly (string | number[])[]): Promise<string> {
  return inChild<string>(`
    const { port } = new URL(process.env.HTTP_PROXY);
    const socket = require('node:net').connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk) => (text += chunk)).on('close', () => console.log(JSON.stringify(text)));
    const pieces = ${JSON.stringify(pieces)};
    (async () => { for (const piece of pieces) { socket.write(typeof piece === 'string' ? piece : Buffer.from(piece)); await new Promise((done) => setTimeout(done, 30)); } socket.end(); })();`);
}

it('the usual variables are there, for children only, and what code sets itself stays', async () => {
  const seen = await world.run<{ own: string[]; child: Record<string, string> }>(`
    const { execFile } = require('node:child_process');
    const child = await new Promise((done) => execFile(process.execPath, ['-p', 'JSON.stringify(process.env)'], { env: { NO_PROXY: 'mine' } }, (_, out) => done(JSON.parse(out))));
    return { own: Object.keys(process.env), child };`);
  expect(seen.own.filter((name) => /proxy/i.test(name))).toEqual([]);
  const { HTTP_PROXY: proxy, ...others } = seen.child;
  expect(proxy).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(others).toEqual({
    http_proxy: proxy,
    HTTPS_PROXY: proxy,
    https_proxy: proxy,
    ALL_PROXY: proxy!.replace('http', 'socks5h'),
    all_proxy: proxy!.replace('http', 'socks5h'),
    NO_PROXY: 'mine',
    no_proxy: 'localhost,127.0.0.1,::1',
    NODE_USE_ENV_PROXY: '1',
  });
});

it('a child that is Node fetches and requests by itself', async () => {
  const url = `http://upstream.test:${portOf(http)}`;
  const seen = await inChild<Record<string, unknown>>(`
    const http = require('node:http');
    (async () => {
      const fetched = await (await fetch('${url}/f', { method: 'POST', body: 'x'.repeat(100_000) })).text();
      const got = await new Promise((done) => http.get('${url}/g', async (response) => { let text = ''; for await (const chunk of response) text += chunk; done([text, response.headers['x-seen']]); }));
      const refused = await new Promise((done) => http.get('http://inner.test/', async (response) => { let text = ''; for await (const chunk of response) text += chunk; done(response.statusCode + ' ' + text); }));
      console.log(JSON.stringify({ fetched, got, refused }));
    })();`);
  const host = `upstream.test:${portOf(http)}`;
  expect(seen['fetched']).toBe(`POST /f 100000 ${host}`);
  const [text, headers] = seen['got'] as [string, string];
  expect(text).toBe(`GET /g 0 ${host}`);
  expect(Object.keys(JSON.parse(headers) as object).filter((name) => name.startsWith('proxy'))).toEqual([]);
  expect(seen['refused']).toBe('403 connect EACCES inner.test:80: it is a private address\n');
});

it('CONNECT leads to what is allowed, and says why not', async () => {
  const ok = await raw([`CONNECT upstream.test:${portOf(echo)} HTTP/1.1\r\nHost: x\r\n\r\n`, 'hello']);
  expect(ok).toBe('HTTP/1.1 200 Connection Established\r\n\r\nhello');
  const refused = await raw(['CONNECT inner.test:443 HTTP/1.1\r\nHost: x\r\n\r\n']);
  expect(refused).toMatch(
    /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*EACCES inner\.test:443: it is a private address\n$/,
  );
  expect(await raw(['CONNECT nothing HTTP/1.1\r\nHost: x\r\n\r\n'])).toMatch(/^HTTP\/1\.1 502 /);
  expect(await raw(['GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'])).toMatch(/^HTTP\/1\.1 400 /);
});

it('SOCKS 5 does so too, by name and by address, in whatever pieces it comes', async () => {
  const port = [portOf(echo) >> 8, portOf(echo) & 0xff];
  const name = [...Buffer.from('upstream.test')];
  const ok = '\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00';
  const byName = [5, 1, 0, 3, name.length, ...name, ...port];
  expect(await raw([[5, 1, 0], byName, 'hello'])).toBe(`${ok}hello`);
  expect(await raw([[5, 2, 1], [0, ...byName.slice(0, 6)], byName.slice(6), 'hello'])).toBe(`${ok}hello`);
  const inner = [...Buffer.from('inner.test')];
  expect(
    await raw([
      [5, 1, 0],
      [5, 1, 0, 3, inner.length, ...inner, 1, 187],
    ]),
  ).toBe('\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00');
  expect(
    await raw([
      [5, 1, 0],
      [5, 1, 0, 1, 169, 254, 169, 254, 0, 80],
    ]),
  ).toMatch(/^\x05\x00\x05\x02/);
  expect(
    await raw([
      [5, 1, 0],
      [5, 1, 0, 4, 0xfd, ...Array.from({ length: 14 }, () => 0), 1, 0, 80],
    ]),
  ).toMatch(/^\x05\x00\x05\x02/);
  expect(await raw([[5, 1, 2]])).toBe('\x05\xff');
  expect(
    await raw([
      [5, 1, 0],
      [5, 3, 0, 1, 1, 1, 1, 1, 0, 80],
    ]),
  ).toMatch(/^\x05\x00\x05\x07/);
  // nothing at all: an empty text is {} in the answer of a webtask
  expect(await raw([[5, 255, ...Array.from({ length: 2_000 }, () => 0)]])).toEqual({});
});

it('the policy holds for children as for their parent', async () => {
  world.policy = 'none';
  const seen = await inChild<string>(`
    fetch('http://upstream.test:${portOf(http)}/').then(() => 'fetched', ({ cause, message }) => cause?.message ?? message).then((text) => console.log(JSON.stringify(text)));`);
  world.policy = LOOPBACK;
  expect(seen).not.toBe('fetched');
});
