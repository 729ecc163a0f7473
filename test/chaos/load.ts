/** A steady load from three tenants, and what its clients saw: every answer, every failure, how long each took. */
import http from 'node:http';
import { eventually, type TestPlatform } from '../support/platform.ts';

export const TENANTS = ['chaos-a', 'chaos-b', 'chaos-c'] as const;
/** A client that waits for longer hangs. */
const HANG_MS = 8_000;
const DEPLOY_EVERY_MS = 400;
const LATE_MS = 60_000;
/** Of so many requests, one takes a while, so that some always run when a fault strikes. */
const SLOW_EVERY = 4;

const ANSWER = 'module.exports = (ctx, cb) => cb(null, { n: ctx.query.n });';
const SLOW = 'module.exports = (ctx, cb) => setTimeout(() => cb(null, { n: ctx.query.n }), 80);';
const kept = (n: number): string => `module.exports = (ctx, cb) => cb(null, { kept: ${n} });`;

export interface Seen {
  readonly kind: 'call' | 'deploy';
  /** milliseconds, monotonic */
  readonly startedAt: number;
  readonly endedAt: number;
  /** `ok`, `503 STORE_UNAVAILABLE`, `network ECONNRESET`, `hang`, or what was wrong about an answer */
  readonly outcome: string;
}

export class Load {
  readonly seen: Seen[] = [];
  /** The highest number of each tenant whose deploy was acknowledged. */
  readonly acknowledged = new Map<string, number>();
  readonly #platform: TestPlatform;
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  readonly #open = new Set<Promise<void>>();
  readonly #openSince = new Map<number, number>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #deploying = new Set<string>();
  #count = 0;
  #observed = 0;

  constructor(platform: TestPlatform) {
    this.#platform = platform;
  }

  /** Makes tenants and functions, and calls each once. */
  async prepare(): Promise<void> {
    for (const tenant of TENANTS) {
      await this.#platform.createTenant(tenant);
      await this.#platform.deploy(tenant, 'answer', ANSWER);
      await this.#platform.deploy(tenant, 'slow', SLOW);
      await this.#platform.deploy(tenant, 'kept', kept(0));
      for (const fn of ['answer', 'slow', 'kept']) await (await this.#platform.call(tenant, fn)).text();
    }
  }

  /** An open loop: requests are sent at their time, whatever became of those before. */
  start(perSecond: number): void {
    const startedAt = performance.now();
    let sent = 0;
    const send = (): void => {
      for (const due = ((performance.now() - startedAt) * perSecond) / 1_000; sent < due; sent++)
        this.#sendNext();
    };
    const deploy = (): void => {
      for (const tenant of TENANTS) void this.#deployNext(tenant);
    };
    this.#timers.push(setInterval(send, 5), setInterval(deploy, DEPLOY_EVERY_MS));
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#open);
    this.#agent.destroy();
  }

  /** What was acknowledged and is not there any more, in words. A platform that is late is waited for. */
  async lost(): Promise<string[]> {
    const lost: string[] = [];
    for (const [tenant, n] of this.acknowledged) {
      const response = await eventually(() => this.#platform.call(tenant, 'kept'), LATE_MS);
      const text = await response.text();
      const found = response.status === 200 ? (JSON.parse(text) as { kept: number }).kept : null;
      if (found === null || found < n) lost.push(`${tenant}: deploy ${n} was acknowledged, ${text} is there`);
    }
    return lost;
  }

  /** No failure ended and no request has waited for the last `ms`, counted from `since` at the earliest. */
  isCalm(since: number, ms: number): boolean {
    const from = performance.now() - ms;
    const isLate = [...this.#openSince.values()].some((startedAt) => startedAt < from);
    const hasFailed = this.seen.some(({ endedAt, outcome }) => endedAt > from && outcome !== 'ok');
    return from >= since && !isLate && !hasFailed;
  }

  /** One call of a function that runs in no sandbox yet. */
  async callCold(tenant: string, fn: string): Promise<void> {
    await this.#observe('call', `/run/${tenant}/${fn}?n=0`, {});
  }

  #sendNext(): void {
    const n = this.#count++;
    const tenant = TENANTS[n % TENANTS.length]!;
    const fn = n % SLOW_EVERY === 0 ? 'slow' : 'answer';
    this.#track(
      this.#observe('call', `/run/${tenant}/${fn}?n=${n}`, { expected: JSON.stringify({ n: String(n) }) }),
    );
  }

  #deployNext(tenant: string): void {
    if (this.#deploying.has(tenant)) return;
    this.#deploying.add(tenant);
    const n = ++this.#count;
    const body = JSON.stringify({ source: kept(n) });
    const path = `/v1/tenants/${tenant}/functions/kept`;
    const done = this.#observe('deploy', path, { body }).then((outcome) => {
      this.#deploying.delete(tenant);
      if (outcome === 'ok') this.acknowledged.set(tenant, Math.max(n, this.acknowledged.get(tenant) ?? 0));
    });
    this.#track(done);
  }

  #track(work: Promise<unknown>): void {
    const tracked: Promise<void> = work.then(() => void this.#open.delete(tracked));
    this.#open.add(tracked);
  }

  async #observe(
    kind: Seen['kind'],
    path: string,
    order: { expected?: string; body?: string },
  ): Promise<string> {
    const startedAt = performance.now();
    const number = ++this.#observed;
    this.#openSince.set(number, startedAt);
    const outcome = await this.#send(path, order);
    this.#openSince.delete(number);
    this.seen.push({ kind, startedAt, endedAt: performance.now(), outcome });
    return outcome;
  }

  /** Never rejects. */
  #send(path: string, { expected, body }: { expected?: string; body?: string }): Promise<string> {
    return new Promise((resolve) => {
      const headers =
        body === undefined
          ? {}
          : { authorization: `Bearer ${this.#platform.token}`, 'content-type': 'application/json' };
      const request = http.request(this.#platform.url + path, {
        method: body === undefined ? 'GET' : 'PUT',
        agent: this.#agent,
        headers,
      });
      const timer = setTimeout(() => {
        resolve('hang');
        request.destroy();
      }, HANG_MS);
      request.on('close', () => clearTimeout(timer));
      request.on('error', (error: NodeJS.ErrnoException) =>
        resolve(`network ${error.code ?? error.message}`),
      );
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('error', (error: NodeJS.ErrnoException) =>
          resolve(`network ${error.code ?? error.message}`),
        );
        response.on('end', () => resolve(outcomeOf(response.statusCode ?? 0, text, expected)));
      });
      request.end(body);
    });
  }
}

function outcomeOf(status: number, text: string, expected: string | undefined): string {
  if (status < 300)
    return expected === undefined || text === expected ? 'ok' : `wrong answer ${text.slice(0, 80)}`;
  try {
    return `${status} ${(JSON.parse(text) as { code: string }).code}`;
  } catch {
    return `${status} without a problem document: ${text.slice(0, 80)}`;
  }
}
