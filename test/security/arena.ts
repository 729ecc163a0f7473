/**
 * The ground of all attacks: a platform with an attacker and a victim. After each attack the three conditions of the
 * threat model are checked: the platform answers, the victim is served, and nothing is left on the host.
 */
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { eventually, type LogLine, type Problem, TestPlatform } from '../support/platform.ts';

const HEALTHY_MS = 50;
const HEALTH_TRIES = 10;

export class Arena {
  platform!: TestPlatform;
  readonly #limits: Record<string, number>;
  readonly #deployed = new Set<string>();

  constructor(limits: Record<string, number> = {}) {
    this.#limits = limits;
  }

  /** Registers the hooks; call it once at the top of a test file. */
  static prepare(limits: Record<string, number> = {}): Arena {
    const arena = new Arena(limits);
    beforeAll(async () => {
      arena.platform = await TestPlatform.start();
      await arena.platform.createTenant('attacker', arena.#limits);
      await arena.platform.createTenant('victim');
      await arena.platform.deploy('victim', 'hello', 'module.exports = (cb) => cb(null, { served: true })');
      await arena.serveVictim();
    });
    afterEach(() => arena.checkConditions());
    afterAll(() => arena.platform.stop());
    return arena;
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

  /** The log lines of the last attack. Waits for one that matches. */
  async logLine(name: string, pattern: RegExp): Promise<LogLine> {
    return eventually(async () => {
      const lines = await this.platform.logs('attacker', name);
      const line = lines.find(({ text }) => pattern.test(text));
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
    await eventually(async () => {
      expect(await this.platform.metric('berth_sandboxes{state="claimed"}')).toBe(1);
      expect(await this.platform.metric('berth_sandboxes{state="starting"}')).toBe(0);
      const blank = await this.platform.metric('berth_sandboxes{state="blank"}');
      expect(this.platform.sandboxes().size).toBe(blank + 1);
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
