import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiLimits } from '../../src/api/api-limits.ts';
import type { FunctionName, TenantId } from '../../src/contracts/ids.ts';
import { ApiWorld } from './api-world.ts';

let world: ApiWorld;
const path = '/v1/tenants/acme/logs';
const source = 'module.exports = (cb) => cb()';

beforeAll(async () => {
  world = await ApiWorld.open();
  await world.must('POST', '/v1/tenants', { id: 'acme' });
  for (const name of ['talker', 'other'])
    await world.must('PUT', `/v1/tenants/acme/functions/${name}`, { source });
});
afterAll(() => world.close());

interface Record_ {
  readonly id: number;
  readonly function: string;
  readonly text: string;
  readonly invocation: string | null;
}

function say(text: string, fn = 'talker', invocation: string | null = null): void {
  world.logs.publish({
    at: Date.now(),
    tenant: 'acme' as TenantId,
    fn: fn as FunctionName,
    revision: null,
    invocation,
    source: 'console',
    level: 'info',
    text,
  });
}

describe('history', () => {
  it('holds what has been logged until now, newest first, by function and invocation, in pages', async () => {
    for (const text of ['one', 'two', 'three']) say(text, 'talker', `i-${text}`);
    say('else', 'other');
    interface Page {
      items: Record_[];
      next: number | null;
    }
    const first = await world.must<Page>('GET', `${path}?function=talker&limit=2`);
    expect(first.items.map(({ text }) => text)).toEqual(['three', 'two']);
    expect(first.items[0]).toMatchObject({
      function: 'talker',
      tenant: 'acme',
      source: 'console',
      level: 'info',
    });
    const second = await world.must<Page>('GET', `${path}?function=talker&limit=2&before=${first.next}`);
    expect(second.items.map(({ text }) => text)).toEqual(['one']);
    expect(second.next).toBeNull();
    expect((await world.must<Page>('GET', `${path}?invocation=i-two`)).items).toHaveLength(1);
    expect((await world.must<Page>('GET', `${path}?since=${Date.now() + 60_000}`)).items).toEqual([]);
  });
});

describe('a live stream', () => {
  it('sends each record of its function as one event with its data', async () => {
    const stream = await open(`${path}/stream?function=talker`);
    expect(stream.response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(stream.response.headers.get('x-request-id')).toMatch(/./);
    await stream.until(/: open\n\n/);
    say('not for this one', 'other');
    say('live\nin two lines');
    const text = await stream.until(/data: .*\n\n/);
    const event = /id: \d+\.1\ndata: (.*)\n\n$/.exec(text);
    expect(JSON.parse(event![1]!)).toMatchObject({ function: 'talker', text: 'live\nin two lines' });
    await stream.close();
  });

  it('ends within about a second of its token being revoked, and says why', async () => {
    const issued = await world.must<{ token: string; jti: string }>('POST', '/v1/tenants/acme/tokens', {
      scopes: ['manage'],
    });
    const stream = await open(`${path}/stream`, issued.token);
    await stream.until(/: open/);
    await world.must('POST', '/v1/tenants/acme/tokens/revoke', { jti: issued.jti });
    const text = await stream.until(/event: closed\n.*\n\n/);
    expect(JSON.parse(/event: closed\ndata: (.*)\n/.exec(text)![1]!)).toMatchObject({
      code: 'TOKEN_INVALID',
    });
    expect(await stream.ended()).toBe(true);
  });

  it('ends when its tenant is deleted', async () => {
    await world.must('POST', '/v1/tenants', { id: 'brief' });
    const stream = await open('/v1/tenants/brief/logs/stream');
    await stream.until(/: open/);
    await world.must('DELETE', '/v1/tenants/brief');
    expect(await stream.until(/event: closed\n.*\n\n/)).toContain('NOT_FOUND');
  });

  it('is refused with its limit when too many are open, and a place comes back when one ends', async () => {
    const limit = apiLimits.logStreamsPerTenant.value;
    const streams = await Promise.all(Array.from({ length: limit }, () => open(`${path}/stream`)));
    await Promise.all(streams.map((stream) => stream.until(/: open/)));
    const refused = await world.send('GET', `${path}/stream`);
    expect(refused.status).toBe(503);
    expect(refused.body).toMatchObject({ code: 'CONCURRENCY_LIMIT', name: 'logStreamsPerTenant', limit });
    expect(refused.headers.get('retry-after')).toBe('1');
    await Promise.all(streams.map((stream) => stream.close()));
    const again = await eventually(() => open(`${path}/stream`));
    await again.close();
  });

  it('ends when the platform stops, and new ones are refused', async () => {
    const brief = await ApiWorld.open();
    await brief.must('POST', '/v1/tenants', { id: 'acme' });
    const stream = await open(`${path}/stream`, brief.operator, brief);
    await stream.until(/: open/);
    await brief.close();
    expect(await stream.ended()).toBe(true);
  });
});

async function open(address: string, token = world.operator, { url } = world) {
  const aborting = new AbortController();
  const response = await fetch(url + address, {
    headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    signal: AbortSignal.any([aborting.signal, AbortSignal.timeout(20_000)]),
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    response,
    async until(pattern: RegExp): Promise<string> {
      while (!pattern.test(text)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the stream ended after: ${text}`);
        text += value;
      }
      return text;
    },
    async ended(): Promise<boolean> {
      return reader.read().then(
        ({ done }) => done,
        () => true,
      );
    },
    async close(): Promise<void> {
      aborting.abort();
    },
  };
}

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const until = Date.now() + 5_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
}
