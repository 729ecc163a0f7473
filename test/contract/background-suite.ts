/** What every driver must do whose sandboxes' control groups this host shows: ADR 10. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCgroupPlaces } from '../../src/drivers/cgroups/cgroup-mounts.ts';
import type { Driver } from '../../src/drivers/driver.ts';
import { type DriverPlace, DriverWorld, eventually, type Probe } from './driver-world.ts';

/** The longest that a sandbox is kept in the background after its last loop is ten seconds. */
const CALM_MS = 20_000;
const SPIN = 'const end = Date.now() + 300; while (Date.now() < end);';

export function describeBackground(title: string, make: (place: DriverPlace) => Driver): void {
  describe(`the background of ${title}`, () => {
    let world: DriverWorld;
    beforeAll(() => {
      world = new DriverWorld(make);
    });
    afterAll(async () => {
      await world.close();
    });

    /** As the kernel has it; null: it has no such thing. */
    function isInBackground({ id }: Probe): boolean | null {
      const { pid } = world.recordOf(id)!.process;
      const [mountinfo, membership] = ['/proc/self/mountinfo', `/proc/${pid}/cgroup`].map((path) =>
        readFileSync(path, 'utf8'),
      );
      const { v1, v2 } = parseCgroupPlaces(mountinfo!, membership!);
      const group = [v1.get('cpu'), v2?.own].find(
        (path) => path !== undefined && existsSync(join(path, 'cpu.idle')),
      );
      return group === undefined ? null : Number(readFileSync(join(group, 'cpu.idle'), 'utf8')) === 1;
    }

    test('who burns CPU goes there and comes back; who serves does not', async (context) => {
      const [burner, server] = await Promise.all([world.start(), world.start()]);
      if (isInBackground(burner) === null) return context.skip('this kernel has no cpu.idle');
      expect([isInBackground(burner), isInBackground(server)]).toEqual([false, false]);
      await burner.run(`globalThis.burning = setInterval(() => { ${SPIN} }, 0)`);
      await server.run(
        'globalThis.serving = setInterval(() => { const end = performance.now() + 0.5; while (performance.now() < end); }, 1)',
      );
      await eventually('it is in the background', () => isInBackground(burner));
      expect(isInBackground(server)).toBe(false);
      await burner.run('clearInterval(burning)');
      await eventually('it is back', () => !isInBackground(burner), CALM_MS);
      await Promise.all([burner, server].map(({ id }) => world.driver.destroy(id)));
    });

    test.each([
      ['a thread', `new (require('worker_threads').Worker)('for (;;) ;', { eval: true })`],
      ['a child', `require('child_process').spawn(process.execPath, ['-e', 'for (;;) ;'])`],
    ])('%s that burns counts as its sandbox does', async (_what, burn) => {
      const probe = await world.start();
      if (isInBackground(probe) === null) return;
      await probe.run(burn);
      await eventually('it is in the background', () => isInBackground(probe));
      await world.driver.destroy(probe.id);
    });
  });
}
