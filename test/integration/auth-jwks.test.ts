/** Fetching key sets over real sockets: what a tenant's address may do to us, and where it must not lead. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import { afterEach, describe, expect, it } from 'vitest';
import { createJwksFetch, refuseJwksUrl } from '../../src/auth/jwks/jwks-fetch.ts';

const servers: Server[] = [];
let requests = 0;

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer((request, response) => {
    requests += 1;
    listener(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

afterEach(async () => {
  requests = 0;
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

const allow = ['127.0.0.1'];

describe('a key set', () => {
  it('is fetched from a host that the operator allows, by plain http too', async () => {
    const { publicKey } = await generateKeyPair('ES256', { extractable: true });
    const set = { keys: [await exportJWK(publicKey)] };
    const port = await serve((_, response) => {
      response
        .setHeader('cache-control', 'public, max-age=300')
        .setHeader('age', '60')
        .end(JSON.stringify(set));
    });
    const fetch = createJwksFetch({ allow: [`127.0.0.1:${port}`] });
    expect(await fetch(`http://127.0.0.1:${port}/jwks`)).toEqual({ json: set, freshMs: 240_000 });
  });

  it('is not fetched from addresses that are not public, however they are written', async () => {
    const port = await serve((_, response) => response.end('{"keys":[]}'));
    const hosts = [
      '127.0.0.1',
      '127.1',
      '0x7f000001',
      '2130706433',
      '0177.0.0.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      'localhost',
      '10.0.0.1',
      '169.254.169.254',
      '[fd00:ec2::254]',
      '0.0.0.0',
      '[::]',
    ];
    const fetch = createJwksFetch();
    for (const host of hosts)
      await expect(fetch(`https://${host}:${port}/jwks`), host).rejects.toThrow(
        /must be public|no public address/,
      );
    await expect(fetch(`http://127.0.0.1:${port}/jwks`)).rejects.toThrow(/must be https/);
    await expect(fetch('file:///etc/passwd')).rejects.toThrow(/must be https/);
    await expect(
      createJwksFetch({ allow: [`127.0.0.1:${port + 1}`] })(`http://127.0.0.1:${port}/`),
    ).rejects.toThrow(/must be https/);
    expect(requests).toBe(0);
  });

  it('is not fetched through a name with any address that is not public', async () => {
    const port = await serve((_, response) => response.end('{"keys":[]}'));
    const answers = [
      [{ address: '127.0.0.1', family: 4 }],
      [
        { address: '93.184.215.14', family: 4 },
        { address: '127.0.0.1', family: 4 },
      ],
      [{ address: '::ffff:127.0.0.1', family: 6 }],
      [],
    ];
    for (const addresses of answers) {
      const fetch = createJwksFetch({ resolve: () => Promise.resolve(addresses) });
      await expect(fetch(`https://rebind.example:${port}/`)).rejects.toThrow(/no public address/);
    }
    expect(requests).toBe(0);
  });

  it('is not fetched through a redirect', async () => {
    const target = await serve((_, response) => response.end('{"keys":[]}'));
    const port = await serve((_, response) =>
      response.writeHead(302, { location: `http://127.0.0.1:${target}/` }).end(),
    );
    await expect(createJwksFetch({ allow })(`http://127.0.0.1:${port}/`)).rejects.toThrow(/302/);
    expect(requests).toBe(1);
  });

  it('is refused when it is too large, encoded, or no JSON', async () => {
    const endless = await serve((_, response) => {
      const chunk = Buffer.alloc(16_384, ' ');
      const timer = setInterval(() => response.write(chunk), 1);
      response.on('close', () => clearInterval(timer));
    });
    await expect(createJwksFetch({ allow })(`http://127.0.0.1:${endless}/`)).rejects.toThrow(
      /more than 65536/,
    );
    const encoded = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(Buffer.alloc(10)),
    );
    await expect(createJwksFetch({ allow })(`http://127.0.0.1:${encoded}/`)).rejects.toThrow(/encoded/);
    const text = await serve((_, response) => response.end('<html>'));
    await expect(createJwksFetch({ allow })(`http://127.0.0.1:${text}/`)).rejects.toThrow(SyntaxError);
  });

  it('has a limit of time for all of it: no answer, a slow head, a slow body', async () => {
    const silent = await serve(() => undefined);
    const slow = await serve((_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write(' '), 10);
      response.on('close', () => clearInterval(timer));
    });
    // Neither answer ends by itself: without the limit the test would not end either.
    for (const port of [silent, slow]) {
      const fetch = createJwksFetch({ allow, timeoutMs: 200 });
      await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow(/abort|timeout/i);
    }
    const patient = createJwksFetch({ allow, timeoutMs: 60_000 })(`http://127.0.0.1:${slow}/`);
    const sooner = createJwksFetch({ allow, timeoutMs: 100 })(`http://127.0.0.1:${slow}/`);
    const first = (name: string, fetching: Promise<unknown>): Promise<string> =>
      fetching.then(
        () => name,
        () => name,
      );
    expect(await Promise.race([first('patient', patient), first('sooner', sooner)])).toBe('sooner');
  });
});

describe('the address of a key set', () => {
  it('is judged before it is stored', () => {
    const judge = (text: string, allowed: readonly string[] = []) => refuseJwksUrl(new URL(text), allowed);
    expect(judge('https://idp.example/jwks')).toBeNull();
    expect(judge('http://idp.example/jwks')).toMatch(/https/);
    expect(judge('https://10.0.0.1/jwks')).toMatch(/public/);
    expect(judge('https://[::1]/jwks')).toMatch(/public/);
    expect(judge('http://127.0.0.1:9000/', ['127.0.0.1:9000'])).toBeNull();
    expect(judge('http://127.0.0.1:9001/', ['127.0.0.1:9000'])).toMatch(/https/);
    expect(judge('https://idp.internal/', ['idp.internal:443'])).toBeNull();
    expect(judge('ftp://idp.example/', ['idp.example'])).toMatch(/https/);
  });
});
