/** The pool as `/metrics` shows it. */
import { eventually, type TestPlatform } from '../../test/support/platform.ts';

const FULL_MS = 30_000;
const LOOK_MS = 10;

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
