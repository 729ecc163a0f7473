/** The pool as `/metrics` shows it. */
import { eventually, type TestPlatform } from '../../test/support/platform.ts';

const FULL_MS = 30_000;
const LOOK_MS = 10;
const LEAVE_MS = 180_000;

export async function gauge(platform: TestPlatform, series: string): Promise<number> {
  const text = await platform.must<string>('GET', '/metrics');
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  if (line === undefined) throw new Error(`no metric ${series}`);
  return Number(line.slice(line.lastIndexOf(' ')));
}

/** Waits until blank sandboxes wait and none is being made: nothing of the platform runs beside what is measured. */
export async function fullPool(platform: TestPlatform): Promise<void> {
  await eventually(
    async () => {
      const blank = await gauge(platform, 'berth_sandboxes{state="blank"}');
      const starting = await gauge(platform, 'berth_sandboxes{state="starting"}');
      if (blank === 0 || starting > 0) throw new Error(`${blank} are blank, ${starting} are starting`);
    },
    FULL_MS,
    LOOK_MS,
  );
}

/** Deletes a tenant and waits until its sandboxes are gone: what is measured next has nothing of it beside. */
export async function removeTenant(platform: TestPlatform, tenant: string, residents: number): Promise<void> {
  await platform.must('DELETE', `/v1/tenants/${tenant}`);
  await eventually(async () => {
    const claimed = await gauge(platform, 'berth_sandboxes{state="claimed"}');
    if (claimed > residents) throw new Error(`${claimed} are claimed`);
  }, LEAVE_MS);
  await fullPool(platform);
}
