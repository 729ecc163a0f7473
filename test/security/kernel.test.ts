/** Hostile code, cases 15 and 16: what a sandbox sees of the kernel, and what it may do. */
import { basename } from 'node:path';
import { expect, it } from 'vitest';
import { projectRoot } from '../support/platform.ts';
import { hasOwnKernel, isDocker } from '../support/test-driver.ts';
import { Arena } from './arena.ts';

const arena = Arena.prepare();

interface Seen {
  readonly pids: string[];
  readonly texts: Record<string, string>;
  readonly writable: string[];
}

it('15: /proc shows only the sandbox itself, and nothing of host or tenant', async () => {
  await arena.platform.must('PUT', '/v1/tenants/attacker/functions/looker', {
    secrets: { PASSWORD: 'hunter2-hunter2' },
    source: `
      const fs = require('fs');
      const read = (path) => { try { return fs.readFileSync(path, 'latin1'); } catch (e) { return e.code; } };
      module.exports = (cb) => {
        const pids = fs.readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
        const texts = {};
        for (const pid of pids) for (const file of ['environ', 'cmdline', 'mountinfo', 'cgroup', 'mounts']) texts[pid + '/' + file] = read('/proc/' + pid + '/' + file);
        const writable = [];
        const walk = (folder, depth) => {
          let names = []; try { names = fs.readdirSync(folder); } catch { return; }
          for (const name of names) {
            const path = folder + '/' + name;
            let stat; try { stat = fs.lstatSync(path); } catch { continue; }
            if (stat.isSymbolicLink()) continue;
            if (stat.isDirectory()) { if (depth < 4) walk(path, depth + 1); continue; }
            try { fs.closeSync(fs.openSync(path, 'r+')); writable.push(path); } catch {}
          }
        };
        walk('/proc/sys', 0); walk('/sys', 0);
        cb(null, { pids, texts, writable });
      };`,
  });
  const response = await arena.platform.call('attacker', 'looker');
  const seen = (await response.json()) as Seen;
  expect(seen.pids.length).toBeLessThan(6);
  const all = JSON.stringify(seen.texts);
  for (const secret of [
    'hunter2',
    'attacker',
    'victim',
    'looker',
    projectRoot.replace(/\/$/, ''),
    arena.platform.dataDir,
    basename(arena.platform.dataDir),
    'node_modules',
    '/home',
    '/root',
  ]) {
    expect(all, secret).not.toContain(secret);
  }
  expect(seen.texts['1/cgroup']).not.toContain('berth');
  expect(seen.writable).toEqual([]);
  await arena.platform.must('DELETE', '/v1/tenants/attacker/functions/looker');
});

it('16: no capabilities, no new privileges, seccomp on; only documented descriptors and names', async () => {
  const seen = await arena.result<{ status: string; fds: Record<string, string>; env: string[] }>(`
    const fs = require('fs');
    const atStart = {};
    for (const fd of fs.readdirSync('/proc/self/fd')) { try { atStart[fd] = fs.readlinkSync('/proc/self/fd/' + fd); } catch {} }
    const names = Object.keys(process.env);
    module.exports = (cb) => cb(null, { status: fs.readFileSync('/proc/self/status', 'utf8'), fds: atStart, env: fs.readFileSync('/proc/self/environ', 'utf8').split('\\0').filter(Boolean).map((e) => e.split('=')[0]).concat(names) });`);
  // gVisor's /proc has no line for what it does not have: ambient capabilities, no_new_privs (always on). Its own kernel
  // is what the host's filter is about.
  const sets = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', ...(hasOwnKernel ? [] : ['CapAmb'])];
  for (const set of sets) expect(seen.status).toMatch(new RegExp(`^${set}:\\s+0+$`, 'm'));
  if (!hasOwnKernel) {
    expect(seen.status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(seen.status).toMatch(/^Seccomp:\s+2$/m);
  }
  for (const [fd, target] of Object.entries(seen.fds)) {
    // With Docker these are the engine's pipes; nobody reads from 1 unless it is the channel.
    if ((fd === '0' || fd === '1') && !isDocker) expect(target).toBe('/dev/null');
    else
      expect(target, `descriptor ${fd}`).toMatch(
        /^(pipe:|socket:|host:|anon_inode:|\/dev\/null$|\/proc\/\d+\/fd$|\/dev\/urandom$)/,
      );
  }
  // 2 is the platform's ear for last words; the one other socket is the channel
  const sockets = Object.entries(seen.fds).filter(
    ([fd, target]) => fd !== '2' && target.startsWith('socket:'),
  );
  expect(sockets.length, JSON.stringify(seen.fds)).toBeLessThanOrEqual(1);
  const documented = new Set([
    'BERTH_FUNCTION',
    'BERTH_REVISION',
    'BERTH_TENANT',
    'HOME',
    'LANG',
    'MALLOC_TOP_PAD_',
    'NODE_ENV',
    'PATH',
    'PWD',
    'SSL_CERT_FILE',
    'TMPDIR',
    'TZ',
  ]);
  expect(seen.env.filter((name) => !documented.has(name))).toEqual([]);
});
