/**
 * The ground of all attacks: a platform with an attacker and a victim. While each attack goes on the platform is asked for its
 * health and the victim is called; after it the three conditions of the threat model are checked: the platform answers, the
 * victim is served, and nothing is left on the host.
 */
import { readdirSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { eventually, type LogLine, type Problem, TestPlatform } from '../support/platform.ts';
import { ServiceWatch } from './service-watch.ts';

const HEALTHY_MS = 50;
const HEALTH_TRIES = 10;

/** Descriptors of the platform that may be open: connections that tests keep, files, and those of each live sandbox. */
const RESTING_DESCRIPTORS = 100;
const DESCRIPTORS_PER_SANDBOX = 10;

export class Arena {
  platform!: TestPlatform;
  readonly #deployed = new Set<string>();
  /** Sandboxes of victims that stay from test to test: the one of `hello`, and those of a file's own. */
  residents = 1;
  #testStartedAt = 0;
  #watch: ServiceWatch | null = null;

  /**
   * Registers the hooks; call it once at the top of a test file.
   * @param limits of the attacker @param env of the platform @param isVictimCalled while attacks go on
   */
  static prepare(
    limits: Record<string, number> = {},
    env: Record<string, string> = {},
    isVictimCalled = true,
  ): Arena {
    const arena = new Arena();
    beforeAll(async () => {
      arena.platform = await TestPlatform.start(env);
      await arena.platform.createTenant('attacker', limits);
      await arena.platform.createTenant('victim');
      await arena.platform.deploy('victim', 'hello', 'module.exports = (cb) => cb(null, { served: true })');
      await arena.serveVictim();
      await arena.settle();
    });
    beforeEach(() => {
      arena.#testStartedAt = Date.now();
      arena.#watch = new ServiceWatch({ url: arena.platform.url, isVictimCalled });
    });
    afterEach(async () => {
      await arena.endWatch();
      await arena.checkConditions();
    });
    afterAll(() => arena.platform.stop());
    return arena;
  }

  /** Of this test; for those that end the platform itself. Fails where the platform or the victim did not answer so far. */
  async endWatch(): Promise<void> {
    const watch = this.#watch;
    this.#watch = null;
    await watch?.stop();
  }

  /** Deploys the attack under a name of its own and calls it. @returns the response's JSON */
  async result<T>(source: string, name = this.#newName()): Promise<T> {
    await this.deploy(name, source);
    const response = await this.platform.call('attacker', name);
    const text = await response.text();
    expect(response.status, text).toBe(200);
    return JSON.parse(text) as T;
  }

  /** Deploys an attack that must end in an error. */
  async problem(source: string, name = this.#newName()): Promise<Problem & { name: string }> {
    await this.deploy(name, source);
    return { ...(await this.platform.problem('attacker', name)), fn: name } as unknown as Problem & {
      name: string;
    };
  }

  async deploy(name: string, source: string): Promise<void> {
    this.#deployed.add(name);
    await this.platform.deploy('attacker', name, source, { filename: 'attack.js' });
  }

  /** Waits for a line of this test's that matches: names come again, and logs stay when a function is gone. */
  async logLine(name: string, pattern: RegExp): Promise<LogLine> {
    return eventually(async () => {
      const lines = await this.platform.logs('attacker', name);
      const line = lines.find(({ at, text }) => at >= this.#testStartedAt && pattern.test(text));
      if (line === undefined) throw new Error(`no line like ${String(pattern)} in ${JSON.stringify(lines)}`);
      return line;
    });
  }

  async serveVictim(): Promise<void> {
    const response = await this.platform.call('victim', 'hello');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ served: true });
  }

  async checkConditions(): Promise<void> {
    await this.serveVictim();
    expect(await this.#fastestHealthMs()).toBeLessThan(HEALTHY_MS);
    for (const name of this.#deployed)
      await this.platform.api('DELETE', `/v1/tenants/attacker/functions/${name}`);
    this.#deployed.clear();
    await this.settle();
  }

  /** Waits until the victims' sandboxes and blank ones are all that there is, in the platform's books and on the host. */
  async settle(): Promise<void> {
    await eventually(async () => {
      expect(await this.platform.metric('berth_sandboxes{state="claimed"}')).toBe(this.residents);
      expect(await this.platform.metric('berth_sandboxes{state="starting"}')).toBe(0);
      const alive = (await this.platform.metric('berth_sandboxes{state="blank"}')) + this.residents;
      expect(this.platform.sandboxes().size).toBe(alive);
      expect(this.platform.traces().size, [...this.platform.traces()].join()).toBe(alive);
      const few = RESTING_DESCRIPTORS + alive * DESCRIPTORS_PER_SANDBOX;
      for (const pid of [this.platform.pid, this.platform.supervisorPid])
        expect(readdirSync(`/proc/${pid}/fd`).length).toBeLessThan(few);
    });
  }

  async #fastestHealthMs(): Promise<number> {
    let fastest = Infinity;
    for (let attempt = 0; attempt < HEALTH_TRIES; attempt++) {
      const start = performance.now();
      expect((await fetch(`${this.platform.url}/healthz`)).status).toBe(200);
      fastest = Math.min(fastest, performance.now() - start);
    }
    return fastest;
  }

  #count = 0;
  #newName(): string {
    return `attack-${++this.#count}`;
  }
}
