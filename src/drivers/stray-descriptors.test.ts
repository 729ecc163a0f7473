import { spawnSync, type StdioOptions } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('what the platform was started with by mistake does not reach its children', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-stray-'));
  const secret = join(folder, 'secret');
  writeFileSync(secret, 'secret');
  const fd = openSync(secret, 'r');
  const url = new URL('stray-descriptors.ts', import.meta.url).href;
  const program = `
    import { spawnSync } from 'node:child_process';
    import { readFileSync } from 'node:fs';
    import { locateFrames } from ${JSON.stringify(new URL('locate/locator.ts', import.meta.url).href)};
    import { coverStrays } from ${JSON.stringify(url)};
    const look = 'for f in /proc/self/fd/*; do readlink $f; done';
    const run = (stdio) => spawnSync('/bin/sh', ['-c', look], { stdio }).stdout.toString();
    const plain = ['ignore', 'pipe', 'ignore'];
    const seen = process.argv[1];
    await locateFrames({ command: ['/bin/sh', '-c', look + ' > ' + seen], port: 1, env: process.env, uid: null, runtimeFile: '' });
    console.log(JSON.stringify([run(plain), run(coverStrays(plain)), readFileSync(seen, 'utf8')]));`;
  // Node itself puts O_CLOEXEC on low descriptors that it inherits, not on one behind a gap.
  const stdio: StdioOptions = ['ignore', 'pipe', 'inherit', ...Array<'ignore'>(60).fill('ignore'), fd];
  const result = spawnSync(process.execPath, ['--input-type=module', '-e', program, join(folder, 'seen')], {
    stdio,
  });
  closeSync(fd);
  rmSync(folder, { recursive: true });
  const [plain, covered, located] = JSON.parse(result.stdout.toString()) as [string, string, string];
  expect(plain).toContain(secret);
  expect(covered).not.toContain(secret);
  expect(located).toContain('/dev/null');
  expect(located).not.toContain(secret);
});
