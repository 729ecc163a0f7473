/** The promises of the platform that are not about attacks: atomic deploys, streams, limits, tokens, logs, draining. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { CompactEncrypt, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answersAtEnd, eventually, TestPlatform } from '../support/platform.ts';

const MiB = 1024 * 1024;
let platform: TestPlatform;

beforeAll(async () => {
  platform = await TestPlatform.start();
  await platform.createTenant('acme');
  await platform.createTenant('globex');
});
afterAll(() => platform.stop());

it('every request is answered by exactly one whole revision, while it is deployed anew', async () => {
  const source = (n: number): string =>
    `const a = ${n};\nmodule.exports = async (ctx) => { await new Promise((done) => setTimeout(done, 5)); return { a, b: ${n} }; };`;
  await platform.deploy('acme', 'atomic', source(0));
  const deploying = new AbortController();
  let newest = 0;
  const caller = async (): Promise<number> => {
    let calls = 0;
    for (; !deploying.signal.aborted; calls++) {
      const atLeast = newest;
      const response = await platform.call('acme', 'atomic');
      expect(response.status).toBe(200);
      const { a, b } = (await response.json()) as { a: number; b: number };
      expect(a).toBe(b);
      expect(a).toBeGreaterThanOrEqual(atLeast);
    }
    return calls;
  };
  const callers = Array.from({ length: 8 }, caller);
  for (let n = 1; n <= 25; n++) {
    await platform.deploy('acme', 'atomic', source(n));
    newest = n;
  }
  deploying.abort();
  const calls = await Promise.all(callers);
  expect(calls.reduce((sum, count) => sum + count)).toBeGreaterThan(8);
});

it('revisions are listed, activated and rolled back', async () => {
  const first = await platform.deploy('acme', 'versions', 'module.exports = (cb) => cb(null, "one")');
  const second = await platform.deploy('acme', 'versions', 'module.exports = (cb) => cb(null, "two")');
  const { items } = await platform.must<{ items: { id: string; number: number }[] }>(
    'GET',
    '/v1/tenants/acme/functions/versions/revisions',
  );
  expect(items.map(({ id, number }) => [id, number])).toEqual([
    [second.revision.id, 2],
    [first.revision.id, 1],
  ]);
  await platform.must('POST', '/v1/tenants/acme/functions/versions/rollback');
  expect(await (await platform.call('acme', 'versions')).json()).toBe('one');
  await platform.must('POST', `/v1/tenants/acme/functions/versions/revisions/${second.revision.id}/activate`);
  expect(await (await platform.call('acme', 'versions')).json()).toBe('two');
});

it('a gigabyte passes up and down in constant memory', async () => {
  await platform.deploy('acme', 'echo', 'module.exports = (req, res) => req.pipe(res);');
  await (await platform.call('acme', 'echo', { method: 'POST', body: 'warm' })).text();
  const resident = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${platform.pid}/status`, 'utf8'))![1]) * 1024;
  /** Early in the stream, when buffers and heap have grown to what they need. */
  let early = 0;
  let most = 0;
  const total = 1024 * MiB;
  const chunk = randomBytes(256 * 1024);
  const received = await new Promise<number>((resolve, reject) => {
    let bytes = 0;
    const request = httpRequest(`${platform.url}/run/acme/echo`, { method: 'POST' }, (response) => {
      response.on('data', (data: Buffer) => {
        bytes += data.length;
        if (bytes % (32 * MiB) >= data.length) return;
        if (bytes < 256 * MiB) early = Math.max(early, resident());
        else most = Math.max(most, resident());
      });
      response.on('end', () => resolve(bytes)).on('error', reject);
    });
    request.on('error', reject);
    let sent = 0;
    const pump = (): void => {
      while (sent < total) {
        sent += chunk.length;
        if (!request.write(chunk)) return void request.once('drain', pump);
      }
      request.end();
    };
    pump();
  });
  expect(received).toBe(total);
  expect(early).toBeGreaterThan(0);
  expect((most - early) / MiB).toBeLessThan(50);
});

describe('limits', () => {
  it('of a tenant change on its live sandboxes, without a restart', async () => {
    await platform.deploy('globex', 'live', answersAtEnd);
    const running = platform.hold('globex', 'live');
    await eventually(async () => expect(await platform.metric('berth_invocations_in_flight')).toBe(1));
    const memoryBytes = 333 * MiB;
    await platform.must('PATCH', '/v1/tenants/globex', { limits: { memoryBytes, pids: 77 } });
    expect(memoryLimits()).toContain(memoryBytes);
    expect(await running.finish()).toEqual({ status: 200, text: '{"done":true}' });
    await platform.must('PATCH', '/v1/tenants/globex', { limits: {} });
  });

  it('have ceilings and names, and what is no limit is refused', async () => {
    const bad = await platform.api<{ detail: string }>('PATCH', '/v1/tenants/globex', {
      limits: { memoryBytes: 1e15 },
    });
    expect(bad.status).toBe(400);
    expect(bad.body.detail).toContain('memoryBytes');
    expect((await platform.api('PATCH', '/v1/tenants/globex', { limits: { nonsense: 1 } })).status).toBe(400);
  });

  it('of concurrency answer 503 with Retry-After and the name of the limit', async () => {
    await platform.must('PATCH', '/v1/tenants/globex', { limits: { concurrency: 2 } });
    await platform.deploy('globex', 'slow', answersAtEnd);
    const held = [platform.hold('globex', 'slow'), platform.hold('globex', 'slow')];
    await eventually(async () => expect(await platform.metric('berth_invocations_in_flight')).toBe(2));
    const refused = await Promise.all([1, 2].map(() => platform.call('globex', 'slow')));
    expect(refused.map(({ status }) => status)).toEqual([503, 503]);
    expect(Number(refused[0]!.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused[0]!.json()).toMatchObject({
      code: 'CONCURRENCY_LIMIT',
      name: 'concurrency',
      limit: 2,
    });
    for (const call of held) expect((await call.finish()).status).toBe(200);
    expect((await platform.call('globex', 'slow')).status).toBe(200);
    await platform.must('PATCH', '/v1/tenants/globex', { limits: {} });
  });

  it('of time: wallMs ends what never answers', async () => {
    await platform.must('PATCH', '/v1/tenants/globex', { limits: { wallMs: 500 } });
    await platform.deploy('globex', 'never', 'module.exports = (cb) => {}');
    expect(await platform.problem('globex', 'never')).toMatchObject({ code: 'TIMEOUT', status: 504 });
    await platform.must('PATCH', '/v1/tenants/globex', { limits: {} });
  });
});

/** The memory limits in force of all sandboxes, read from their cgroups (v1 or v2). */
function memoryLimits(): number[] {
  const found: number[] = [];
  for (const [pid] of platform.sandboxes().values()) {
    const path =
      /^\d+:memory:(.+)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ??
      /^0::(.+)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ??
      '';
    for (const file of [
      `/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`,
      `/sys/fs/cgroup${path}/memory.max`,
    ]) {
      try {
        found.push(Number(readFileSync(file, 'utf8')));
      } catch {
        // the other cgroup version
      }
    }
  }
  return found;
}

describe('tokens', () => {
  const sign = (secret: string, claims: Record<string, unknown> = {}, kid?: string): Promise<string> =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', ...(kid === undefined ? {} : { kid }) })
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(Buffer.from(secret, 'base64url'));
  const callWith = async (tenant: string, token: string): Promise<number> =>
    (await platform.call(tenant, 'private', { headers: { authorization: `Bearer ${token}` } })).status;
  const addKey = (tenant: string, kind: string, id: string): Promise<{ id: string; secret: string }> =>
    platform.must('POST', `/v1/tenants/${tenant}/keys`, { kind, id });

  beforeAll(async () => {
    for (const tenant of ['acme', 'globex']) {
      await platform.deploy(tenant, 'private', `module.exports = (cb) => cb(null, { tenant: '${tenant}' })`, {
        access: 'token',
      });
    }
  });

  it('of two tenants with secrets of their own work for their own tenant only', async () => {
    const [acme, globex] = [await addKey('acme', 'hs256', 'a1'), await addKey('globex', 'hs256', 'g1')];
    expect(await callWith('acme', await sign(acme.secret, {}, 'a1'))).toBe(200);
    expect(await callWith('acme', await sign(acme.secret))).toBe(200);
    expect(await callWith('globex', await sign(globex.secret, {}, 'g1'))).toBe(200);
    for (const token of [
      await sign(acme.secret, {}, 'a1'),
      await sign(acme.secret),
      await sign(acme.secret, { ten: 'globex' }, 'g1'),
    ]) {
      expect([401, 403]).toContain(await callWith('globex', token));
    }
    expect((await platform.call('acme', 'private')).status).toBe(401);
  });

  it('are refused once their key is revoked', async () => {
    const key = await addKey('acme', 'hs256', 'a2');
    const token = await sign(key.secret, {}, 'a2');
    expect(await callWith('acme', token)).toBe(200);
    await platform.must('DELETE', '/v1/tenants/acme/keys/a2');
    expect(await callWith('acme', token)).toBe(401);
  });

  it('that the platform issued are refused once revoked', async () => {
    const issued = await platform.must<{ token: string; jti: string }>('POST', '/v1/tenants/acme/tokens', {
      scopes: ['run'],
    });
    expect(await callWith('acme', issued.token)).toBe(200);
    expect([401, 403]).toContain(await callWith('globex', issued.token));
    expect((await platform.api('GET', '/v1/tenants/acme/functions', undefined, issued.token)).status).toBe(
      403,
    );
    expect(
      (await platform.api('GET', '/v1/tenants/globex/functions', undefined, issued.token)).status,
    ).toBeGreaterThanOrEqual(401);
    await platform.must('POST', '/v1/tenants/acme/tokens/revoke', { jti: issued.jti });
    expect(await callWith('acme', issued.token)).toBe(401);
  });

  it('go on working when the platform key is rotated', async () => {
    const old = await platform.must<{ token: string }>('POST', '/v1/tenants/acme/tokens', {
      scopes: ['run'],
    });
    await platform.must('POST', '/v1/keys/rotate');
    const fresh = await platform.must<{ token: string }>('POST', '/v1/tenants/acme/tokens', {
      scopes: ['run'],
    });
    expect(await callWith('acme', old.token)).toBe(200);
    expect(await callWith('acme', fresh.token)).toBe(200);
  });

  it('may be encrypted for a tenant with an encryption key', async () => {
    const [signing, encryption] = [await addKey('acme', 'hs256', 'a3'), await addKey('acme', 'jwe', 'e1')];
    const jwt = await sign(signing.secret, {}, 'a3');
    const jwe = await new CompactEncrypt(Buffer.from(jwt))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cty: 'JWT', kid: 'e1' })
      .encrypt(Buffer.from(encryption.secret, 'base64url'));
    expect(await callWith('acme', jwe)).toBe(200);
    expect([401, 403]).toContain(await callWith('globex', jwe));
  });
});

describe('logs', () => {
  it('come live and as history, with the invocation', async () => {
    await platform.deploy(
      'acme',
      'talker',
      'module.exports = (ctx, cb) => { console.log("said %s", ctx.query.word); console.error("bad"); cb(null, {}); }',
    );
    const live = await fetch(`${platform.url}/v1/tenants/acme/logs/stream?function=talker`, {
      headers: { authorization: `Bearer ${platform.token}`, accept: 'text/event-stream' },
    });
    expect(live.headers.get('content-type')).toContain('text/event-stream');
    const reader = live.body!.getReader();
    await platform.call('acme', 'talker', { path: '?word=ahoy' });
    let text = '';
    await eventually(async () => {
      text += new TextDecoder().decode((await reader.read()).value);
      expect(text).toContain('said ahoy');
    });
    await reader.cancel();
    await eventually(async () => {
      const lines = await platform.logs('acme', 'talker');
      expect(lines.find((line) => line.text === 'said ahoy')).toMatchObject({
        level: 'info',
        source: 'console',
        function: 'talker',
        invocation: expect.stringMatching(/./),
      });
      expect(lines.find((line) => line.text === 'bad')).toMatchObject({ level: 'error' });
    });
  });

  it('of a flood are bounded, with a marker that says what was dropped', async () => {
    await platform.deploy(
      'acme',
      'flood',
      'module.exports = (ctx, cb) => { for (let i = 0; i < 20000; i++) console.log("x".repeat(500)); console.log("y".repeat(1e7)); cb(null, {}); }',
    );
    expect((await platform.call('acme', 'flood')).status).toBe(200);
    await eventually(async () =>
      expect(
        (await platform.logs('acme', 'flood')).some(
          ({ text, source }) => source === 'platform' && /dropped/.test(text),
        ),
      ).toBe(true),
    );
  });

  it('show no secret, and secrets reach only their function', async () => {
    await platform.deploy('acme', 'keeper', 'module.exports = (ctx, cb) => cb(null, ctx.secrets)', {
      secrets: { KEY: 'first-value' },
    });
    expect(await (await platform.call('acme', 'keeper')).json()).toEqual({ KEY: 'first-value' });
    await platform.must('PUT', '/v1/tenants/acme/functions/keeper/secrets/KEY', { value: 'second-value' });
    expect(await (await platform.call('acme', 'keeper')).json()).toEqual({ KEY: 'second-value' });
    const shown = JSON.stringify([
      await platform.must('GET', '/v1/tenants/acme/functions/keeper'),
      await platform.must('GET', '/v1/tenants/acme/functions/keeper/secrets'),
    ]);
    expect(shown).toContain('KEY');
    expect(shown).not.toContain('value"');
    expect(shown).not.toContain('second-value');
    await platform.must('DELETE', '/v1/tenants/acme/functions/keeper/secrets/KEY');
    expect(await (await platform.call('acme', 'keeper')).json()).toEqual({});
  });
});

it('SIGTERM lets what runs finish, and then nothing is left', async () => {
  const own = await TestPlatform.start();
  await own.createTenant('acme');
  await own.deploy('acme', 'slow', answersAtEnd);
  const running = own.hold('acme', 'slow');
  await eventually(async () => expect(await own.metric('berth_invocations_in_flight')).toBe(1));
  expect(own.sandboxes().size).toBeGreaterThan(0);
  const ended = own.end('SIGTERM');
  await eventually(() => expect(own.output).toContain('letting what runs finish'));
  // Nobody waits for a platform that takes no new work.
  await eventually(async () =>
    expect(await fetch(`${own.url}/healthz`).catch(({ cause }) => cause.code as string)).toBe('ECONNREFUSED'),
  );
  expect(await running.finish()).toEqual({ status: 200, text: '{"done":true}' });
  expect(await ended).toBe(0);
  expect(own.output).not.toMatch(/\bat .*\/src\//);
  expect(await own.leftovers()).toEqual([]);
  await own.stop();
});

it('restarting keeps everything', async () => {
  const own = await TestPlatform.start();
  await own.createTenant('acme', { blockedMs: 1_234 });
  await own.deploy('acme', 'kept', 'module.exports = (ctx, cb) => cb(null, ctx.secrets)', {
    secrets: { A: 'b' },
  });
  const token = own.token;
  await own.end('SIGTERM');
  await own.restart();
  expect(own.token).toBe(token);
  expect(await (await own.call('acme', 'kept')).json()).toEqual({ A: 'b' });
  expect(await own.must('GET', '/v1/tenants/acme')).toMatchObject({ limits: { blockedMs: 1_234 } });
  await own.stop();
});
