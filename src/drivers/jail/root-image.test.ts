import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../kernel/testing/fake-clock.ts';
import { keepInUse, removeUnusedImages } from './root-image.ts';

const DAY_MS = 24 * 3_600_000;
let rootDir: string;

beforeEach(() => {
  rootDir = mkdtempSync(join(tmpdir(), 'berth-images-'));
  for (const name of ['base-used', 'launch-used', 'base-unused', 'other-old']) mkdirSync(join(rootDir, name));
});
afterEach(() => rmSync(rootDir, { recursive: true }));

/** As if the platforms on this folder had started long ago. */
function age(): void {
  const then = new Date(Date.now() - 30 * DAY_MS);
  for (const name of ['base-used', 'launch-used', 'base-unused', 'other-old'].filter((one) =>
    existsSync(join(rootDir, one)),
  ))
    utimesSync(join(rootDir, name), then, then);
}

it('images of a platform that runs for weeks are not taken for unused', async () => {
  const clock = new FakeClock();
  const leave = keepInUse({ rootDir, names: ['base-used', 'launch-used', 'base-gone'] }, clock);
  age();
  await clock.advance(DAY_MS);
  await removeUnusedImages(rootDir);
  const left = ['base-used', 'launch-used', 'base-unused', 'other-old'].map((name) =>
    existsSync(join(rootDir, name)),
  );
  expect(left).toEqual([true, true, false, true]);
  leave();
  expect(clock.waiting).toBe(0);
  age();
  await clock.advance(DAY_MS);
  await removeUnusedImages(rootDir);
  expect(existsSync(join(rootDir, 'base-used'))).toBe(false);
});
