/** Hostile code, cases 11-14: files and names. */
import { request } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../support/platform.ts';
import { hasOwnKernel, isDocker } from '../support/test-driver.ts';
import { Arena } from './arena.ts';

/** As sent: fetch would resolve dot segments itself. */
function rawStatus(method: string, path: string, body: unknown): Promise<number> {
  return new Promise((resolve, reject) => {
    const { token, url } = arena.platform;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = request(url, { method, path: path.replaceAll(' ', '%20'), headers }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    sent.on('error', reject).end(body === undefined ? '' : JSON.stringify(body));
  });
}

const arena = Arena.prepare({ tmpBytes: 8 * 1024 * 1024, tmpInodes: 200 });

it('11: files of the host are not there', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-secret-'));
  await writeFile(join(folder, 'secret'), 'secret', { mode: 0o666 });
  const wanted = [
    '/etc/shadow',
    // Docker has one of its own, which says "sandbox"; its /sys is an empty mask, gVisor's shows its own kernel.
    ...(isDocker ? [] : ['/etc/hostname', '/sys']),
    homedir(),
    projectRoot,
    arena.platform.dataDir,
    join(folder, 'secret'),
    '/var',
    '/home',
    '/root',
    '/run',
    '/bin/sh',
    '/usr/bin/env',
  ];
  const seen = await arena.result<Record<string, string>>(`
    const fs = require('fs');
    module.exports = (cb) => {
      const seen = {};
      for (const path of ${JSON.stringify(wanted)}) { try { fs.statSync(path); seen[path] = 'there'; } catch (e) { seen[path] = e.code; } }
      cb(null, seen);
    };`);
  await rm(folder, { recursive: true });
  for (const path of wanted) expect(['ENOENT', 'EACCES'], `${path}: ${seen[path]}`).toContain(seen[path]);
});

describe('12: /tmp is limited', () => {
  const deeds = {
    'in bytes': 'for (;;) fs.appendFileSync("/tmp/big", Buffer.alloc(1e6, 1));',
    'in files': 'for (let i = 0; ; i++) fs.writeFileSync("/tmp/f" + i, "");',
    'in directories': 'for (let i = 0; ; i++) fs.mkdirSync("/tmp/d" + i);',
    'in sparse files that get filled':
      'const fd = fs.openSync("/tmp/s", "w"); fs.ftruncateSync(fd, 1e12); for (let at = 0; ; at += 4096) fs.writeSync(fd, "x", at);',
  };
  for (const [what, deed] of Object.entries(deeds)) {
    it(`${what}: ENOSPC inside, nothing outside`, async () => {
      const attack = `const fs = require('fs'); module.exports = (cb) => { try { ${deed} } catch (e) { cb(null, { code: e.code }); } };`;
      // gVisor does not count files (its gap tmp-limit): the sandbox's own memory or time ends it.
      if (hasOwnKernel && /files$|directories/.test(what))
        expect(['MEMORY_LIMIT', 'EVENT_LOOP_BLOCKED', 'FUNCTION_CRASHED']).toContain(
          (await arena.problem(attack)).code,
        );
      else expect(await arena.result(attack)).toEqual({ code: 'ENOSPC' });
    });
  }
});

describe('13: writing', () => {
  it('anywhere but in /tmp is refused', async () => {
    const places = [
      '/x',
      '/etc/x',
      '/dev/x',
      // gVisor's is in the sandbox's own memory.
      ...(hasOwnKernel ? [] : ['/dev/shm/x']),
      '/berth/x',
      '/berth/channel/x',
      '/usr/x',
      '/proc/sys/kernel/hostname',
      '/proc/x',
      '/lib64/x',
    ];
    const seen = await arena.result<Record<string, string>>(`
      const fs = require('fs');
      module.exports = (cb) => {
        const seen = {};
        for (const path of ${JSON.stringify(places)}) { try { fs.writeFileSync(path, 'x'); seen[path] = 'written'; } catch (e) { seen[path] = e.code; } }
        cb(null, seen);
      };`);
    for (const place of places)
      expect(['EROFS', 'EACCES', 'ENOENT', 'EPERM'], `${place}: ${seen[place]}`).toContain(seen[place]);
    // gVisor looks at the rights of the folder before it looks at the mount.
    expect(hasOwnKernel ? ['EROFS', 'EACCES'] : ['EROFS']).toContain(seen['/x']);
  });

  it('to /tmp is not seen by another function', async () => {
    await arena.result(
      'module.exports = (cb) => { require("fs").writeFileSync("/tmp/mine", "x"); cb(null, {}); }',
      'writer',
    );
    expect(
      await arena.result('module.exports = (cb) => cb(null, require("fs").readdirSync("/tmp"))', 'reader'),
    ).toEqual([]);
  });
});

it('13: what another tenant wrote in /tmp is not seen, nor any file of theirs', async () => {
  await arena.platform.deploy(
    'victim',
    'keeper',
    'require("fs").writeFileSync("/tmp/treasure", "gold"); module.exports = (cb) => cb(null, require("fs").readFileSync("/tmp/treasure", "utf8"));',
  );
  expect(await (await arena.platform.call('victim', 'keeper')).json()).toBe('gold');
  const found = await arena.result<string[]>(`
    const fs = require('fs');
    const found = [];
    const walk = (folder, depth) => {
      let entries = []; try { entries = fs.readdirSync(folder, { withFileTypes: true }); } catch { return; }
      for (const entry of entries) {
        const path = folder + '/' + entry.name;
        if (/treasure|victim|keeper/.test(path)) found.push(path);
        if (entry.isDirectory() && depth < 6 && path !== '//proc') walk(path, depth + 1);
      }
    };
    module.exports = (cb) => { walk('/', 0); for (const pid of fs.readdirSync('/proc').filter((n) => /^[0-9]+$/.test(n))) walk('/proc/' + pid + '/root/tmp', 4); cb(null, found); };`);
  expect(found).toEqual([]);
  await arena.platform.must('DELETE', '/v1/tenants/victim/functions/keeper');
});

describe('14: names that are no names get 400', () => {
  const names = [
    '..',
    '%2e%2e',
    '..%2f..%2fetc',
    'a%00b',
    'a%0ab',
    'a%2fb',
    '%ff%fe',
    'x'.repeat(10_000),
    'a b',
    '%E2%80%AE',
  ];
  const paths: readonly ((name: string) => [method: string, path: string, body?: unknown])[] = [
    (name) => ['GET', `/v1/tenants/${name}`],
    (name) => ['PUT', `/v1/tenants/attacker/functions/${name}`, { source: 'module.exports = (cb) => cb()' }],
    (name) => ['GET', `/v1/tenants/attacker/functions/hello/revisions/${name}`],
    (name) => ['PUT', `/v1/tenants/attacker/functions/hello/secrets/${name}`, { value: 'x' }],
    (name) => ['DELETE', `/v1/tenants/attacker/keys/${name}`],
    (name) => ['GET', `/v1/tenants/attacker/logs?function=${name}`],
    (name) => ['GET', `/run/attacker/${name}`],
    (name) => ['GET', `/run/${name}/hello`],
    (name) => ['GET', `/api/webtask/attacker/${name}`],
    (name) => ['GET', `/api/run/attacker/${name}`],
  ];
  for (const name of names) {
    it(`such as ${JSON.stringify(name.slice(0, 20))} in a path`, async () => {
      for (const path of paths) {
        const [method, url, body] = path(name);
        expect(name.length > 5_000 ? [400, 414, 431] : [400], `${method} ${url.slice(0, 80)}`).toContain(
          await rawStatus(method, url, body),
        );
      }
    });
  }
  it('such as these in a body', async () => {
    for (const id of ['../../etc', 'a\0b', 'a\nb', 'A', '', 'x'.repeat(10_000), '\ud800', '-a', 'a/b']) {
      expect(
        (await arena.platform.api('POST', '/v1/tenants', { id })).status,
        JSON.stringify(id.slice(0, 20)),
      ).toBe(400);
    }
    for (const filename of ['../x.js', '/etc/passwd', 'a\0.js', 'a\n.js', 'x'.repeat(10_000)]) {
      expect(
        (
          await arena.platform.api('PUT', '/v1/tenants/attacker/functions/f', {
            source: 'module.exports = (cb) => cb()',
            filename,
          })
        ).status,
        JSON.stringify(filename.slice(0, 20)),
      ).toBe(400);
    }
  });
});
