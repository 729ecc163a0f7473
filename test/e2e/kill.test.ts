/** kill -9 of the platform in the middle of deploys and calls: what was acknowledged is there, and nothing is left over. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, TestPlatform } from '../support/platform.ts';

const DEPLOYS = 200;
const KILLS = 4;

let platform: TestPlatform;

beforeAll(async () => {
  platform = await TestPlatform.start();
  await platform.createTenant('acme');
});
afterAll(() => platform.stop());

it(`every deploy that was acknowledged before ${KILLS} kills is there and answers`, async () => {
  const acknowledged = new Map<string, number>();
  let next = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const until = Math.round(((kill + 1) * DEPLOYS) / KILLS);
    const worker = async (): Promise<void> => {
      while (next < until) {
        const number = next++;
        const name = `f${number % 60}`;
        try {
          await platform.deploy('acme', name, `module.exports = (cb) => cb(null, { number: ${number} });`);
          acknowledged.set(name, Math.max(number, acknowledged.get(name) ?? 0));
          if (number % 7 === 0) await (await platform.call('acme', name)).text();
          if (number >= until - 8 && number % 2 === 0) await platform.end('SIGKILL');
        } catch {
          return; // the platform was killed under it: that deploy was not acknowledged
        }
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    await platform.end('SIGKILL');
    await eventually(() => expect(platform.sandboxes().size).toBe(0));
    next = Math.max(next, until);
    await platform.restart();
  }
  expect(acknowledged.size).toBeGreaterThan(50);
  for (const [name, number] of acknowledged) {
    const response = await platform.call('acme', name);
    const answer = (await response.json()) as { number: number };
    expect(answer.number, name).toBeGreaterThanOrEqual(number);
  }
  await platform.end('SIGTERM');
  expect(await platform.leftovers()).toEqual([]);
});
