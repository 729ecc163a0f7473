import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { functionNameSchema, tenantIdSchema } from '../contracts/ids.ts';
import type { LogRecord } from '../contracts/model.ts';
import { startTestFace, type TestFace } from './testing/test-face.ts';

const acme = tenantIdSchema.parse('acme');
let face: TestFace;
const opened: AbortController[] = [];

beforeEach(async () => {
  face = await startTestFace();
});
afterEach(async () => {
  for (const controller of opened.splice(0)) controller.abort();
  await face.close();
});

const record = (text: string, fn = 'hello'): LogRecord => ({
  at: 0,
  tenant: acme,
  fn: functionNameSchema.parse(fn),
  revision: null,
  invocation: 'i1',
  source: 'console',
  level: 'warn',
  text,
});

async function open(
  query: string,
  accept = 'text/event-stream',
): Promise<{ response: Response; next: () => Promise<string | undefined> }> {
  const controller = new AbortController();
  opened.push(controller);
  const before = face.logs.readers;
  const response = await fetch(`${face.url}/api/logs/tenant/acme?${query}`, {
    headers: { accept },
    signal: controller.signal,
  });
  if (response.ok) await expect.poll(() => face.logs.readers).toBe(before + 1);
  const reader = response.body!.getReader();
  return {
    response,
    next: async () => {
      const { value } = await reader.read();
      return value === undefined ? undefined : Buffer.from(value).toString();
    },
  };
}

describe('the log stream', () => {
  it('sends each record as one event that the node client can read', async () => {
    const { response, next } = await open(`key=${face.manager}`);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    face.logs.publish(record('hello\nworld'));
    const event = (await next())!;
    expect(event).toMatch(/^data: \{.*\}\n\n$/);
    expect(JSON.parse(event.slice('data: '.length))).toEqual({
      v: 0,
      hostname: 'berth',
      pid: 1,
      name: 'hello',
      level: 40,
      time: '1970-01-01T00:00:00.000Z',
      msg: 'hello\nworld',
      container: 'acme',
      req_id: 'i1',
      source: 'console',
    });
  });

  it('tells of runs while it is read', async () => {
    await fetch(`${face.url}/api/tokens/issue`, {
      method: 'POST',
      headers: { authorization: `Bearer ${face.manager}` },
      body: JSON.stringify({ ten: 'acme', jtn: 'hello', code: 'x' }),
    });
    const { next } = await open(`key=${face.manager}`);
    await fetch(`${face.url}/api/run/acme/hello`);
    let text = '';
    while (!text.includes('finished')) text += await next();
    expect(text).toMatch(/"msg":"new webtask request [\d.]+"/);
    expect(text).toMatch(/"msg":"finished webtask request [\d.]+ with HTTP 200 in \d+ms"/);
  });

  it('keeps silent readers awake in a way that the node client ignores', async () => {
    const { next } = await open(`key=${face.manager}`);
    await face.clock.advance(15_000);
    expect(await next()).toBe('event: ping\ndata: {}\n\n');
  });

  it('gives plain lines to who does not ask for events', async () => {
    const { next } = await open(`key=${face.manager}`, '*/*');
    face.logs.publish(record('one'));
    expect(await next()).toMatch(/^\{.*\}\n$/);
  });

  it('shows one webtask to a token for one webtask', async () => {
    const { token } = await face.tokens.issue({ scopes: ['manage'], tenant: acme, fn: 'hello' });
    const { next } = await open(`key=${token}`);
    face.logs.publish(record('hidden', 'other'));
    face.logs.publish(record('shown', 'hello'));
    expect(await next()).toContain('shown');
  });

  it('ends when the token is revoked', async () => {
    const { token, jti } = await face.tokens.issue({ scopes: ['manage'], tenant: acme });
    const { next } = await open(`key=${token}`);
    face.tokens.revoked.add(jti);
    await face.clock.advance(1_000);
    expect(await next()).toBeUndefined();
    await expect.poll(() => face.logs.readers).toBe(0);
    expect(face.clock.waiting).toBe(0);
  });

  it('leaves nothing behind when the reader goes', async () => {
    await open(`key=${face.manager}`);
    opened.splice(0).forEach((controller) => controller.abort());
    await expect.poll(() => face.logs.readers).toBe(0);
    expect(face.clock.waiting).toBe(0);
  });

  it('has places for 16 readers of a container', async () => {
    for (let index = 0; index < 16; index++) await open(`key=${face.manager}`);
    const { response } = await open(`key=${face.manager}`);
    expect(response.status).toBe(503);
    opened.shift()!.abort();
    await expect.poll(() => face.logs.readers).toBe(15);
    expect((await open(`key=${face.manager}`)).response.status).toBe(200);
  });

  it('is closed to tokens that only run', async () => {
    const { token } = await face.tokens.issue({ scopes: ['run'], tenant: acme });
    expect((await open(`key=${token}`)).response.status).toBe(403);
    expect((await open('')).response.status).toBe(401);
  });
});
