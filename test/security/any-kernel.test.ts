/**
 * Hostile code, cases 17-20, whichever kernel answers: what a program's calls do to the host and to other sandboxes. What our
 * filter answers, call by call, is the matter of `system-calls.test.ts`; gVisor's kernel grants more, and all of it in the guest.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { seccompPolicy } from '../../src/drivers/seccomp/policy.ts';
import { syscallNumbers } from '../../src/drivers/seccomp/syscall-numbers.ts';
import { hasOwnKernel, isDocker } from '../support/test-driver.ts';
import { Arena } from './arena.ts';
import { answers, buildProbe, call } from './native-probe.ts';

const built = buildProbe();
const probe = built ?? Buffer.alloc(0);
const column = process.arch === 'x64' ? 0 : 1;
const arena = Arena.prepare();

/** PTRACE_ATTACH, PTRACE_SEIZE */
const ATTACH = [16, 0x4206] as const;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h) */
const NAMESPACES = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
const IPC_CREAT = 0o1000;
const KEY = 0x1234;

const outside = (): number[] => [arena.platform.pid, ...[...arena.platform.sandboxes().values()].flat()];

describe('17: other processes', () => {
  it('nobody outside can be named: no signal, no file of /proc', async () => {
    const seen = await arena.result<Record<string, string[]>>(`
      const fs = require('fs');
      const tried = (deed) => { try { deed(); return 'done'; } catch (e) { return e.code; } };
      module.exports = (cb) => cb(null, Object.fromEntries(${JSON.stringify(outside())}.map((pid) => [pid, [
        tried(() => process.kill(pid, 0)), tried(() => process.kill(-pid, 9)),
        ...['mem', 'environ', 'fd', 'root', 'ns/net'].map((name) => tried(() => fs.lstatSync('/proc/' + pid + '/' + name))),
      ]])));`);
    // A small number can be one of the attacker's own; these are the host's.
    for (const [pid, codes] of Object.entries(seen))
      expect(new Set(codes), pid).toEqual(new Set(['ESRCH', 'ENOENT']));
  });

  it.skipIf(built === null)('nor be traced, read, written or robbed of a descriptor', async () => {
    const orders = outside().flatMap((pid) => [
      ...ATTACH.map((request) => call('ptrace', request, pid)),
      call('process_vm_readv', pid),
      call('process_vm_writev', pid),
      call('pidfd_getfd', pid, 0),
      call('kcmp', pid, pid),
    ]);
    const given = await answers(arena, probe, orders);
    expect(given).toHaveLength(orders.length);
    for (const answer of given) expect(['EPERM', 'ESRCH', 'ENOSYS']).toContain(answer);
  });

  it('whoever takes over the first process of the sandbox gains nothing: it is as confined', async () => {
    const statuses = await arena.result<string[]>(`
      const fs = require('fs');
      module.exports = (cb) => cb(null, fs.readdirSync('/proc').filter((n) => /^[0-9]+$/.test(n)).map((pid) => fs.readFileSync('/proc/' + pid + '/status', 'utf8')));`);
    expect(statuses.length).toBeGreaterThanOrEqual(2);
    for (const status of statuses) {
      expect(status).toMatch(/^CapEff:\s+0+$/m);
      expect(status).toMatch(/^CapPrm:\s+0+$/m);
    }
    // Of a guest, its kernel is what the host confines.
    const confined = hasOwnKernel ? hostStatuses() : statuses;
    expect(confined).not.toEqual([]);
    for (const status of confined) {
      expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
      expect(status).toMatch(/^Seccomp:\s+2$/m);
    }
  });
});

function hostStatuses(): string[] {
  const pids = [...arena.platform.sandboxes().values()].flat();
  return pids.map((pid) => readFileSync(`/proc/${pid}/status`, 'utf8'));
}

/** By sandbox: the namespaces of its processes, as the host has them. */
function namespaces(): Map<string, readonly string[]> {
  const of = (pid: number): string[] =>
    readdirSync(`/proc/${pid}/ns`).map((name) => readlinkSync(`/proc/${pid}/ns/${name}`));
  return new Map(
    [...arena.platform.sandboxes()].map(([name, pids]) => [name, [...new Set(pids.flatMap(of))].sort()]),
  );
}

describe.skipIf(built === null)('18: the kernel’s doors', () => {
  it('what a kernel grants of them changes nothing on the host', async () => {
    const refused = seccompPolicy.refused
      .flatMap((group) => group.syscalls)
      .filter((name) => syscallNumbers[name][column] !== null);
    const orders = [
      ...refused.map((name) => call(name)),
      ...NAMESPACES.map((flag) => call('unshare', flag)),
      // It waits for nothing, for ever, in whatever it has got.
      call('ppoll'),
    ];
    await arena.deploy(
      'opener',
      `const { spawn } = require('child_process');
       require('fs').writeFileSync('/tmp/probe', Buffer.from('${probe.toString('base64')}', 'base64'), { mode: 0o755 });
       module.exports = (ctx, cb) => {
         if (ctx.query.now === undefined) return cb(null, []);
         let said = '';
         const child = spawn('/tmp/probe', ${JSON.stringify(orders)}, { stdio: ['ignore', 'pipe', 'inherit'] });
         child.stdout.on('data', (text) => {
           said += text;
           const lines = said.trim().split('\\n');
           if (lines.length === ${orders.length - 1}) cb(null, lines);
         });
       };`,
    );
    expect((await arena.platform.call('attacker', 'opener')).status).toBe(200);
    arena.residents += 1;
    await arena.settle().finally(() => (arena.residents -= 1));
    const before = namespaces();
    const response = await arena.platform.call('attacker', 'opener', { path: '?now' });
    expect([response.status, ((await response.json()) as string[]).length]).toEqual([200, orders.length - 1]);
    // A blank one may have come or gone meanwhile: those of the attacker and the victim have not.
    const after = namespaces();
    // One that is just being made does not have all of its namespaces yet.
    const most = Math.max(...[...before.values()].map((links) => links.length));
    const same = [...before].filter(([name, links]) => links.length === most && after.has(name));
    expect(same.length).toBeGreaterThanOrEqual(2);
    for (const [name, links] of same) expect(after.get(name)).toEqual(links);
  });
});

describe('19: sockets and queues of others', () => {
  it.skipIf(built === null)(
    'sockets that reach past the sandbox’s own network are not to be had',
    async () => {
      const kinds: Readonly<Record<string, readonly number[]>> = {
        raw: [2, 3, 1],
        'raw IPv6': [10, 3, 58],
        packet: [17, 3, 0],
        vsock: [40, 1, 0],
        alg: [38, 5, 0],
        bluetooth: [31, 3, 0],
        MPTCP: [2, 1, 262],
        SCTP: [2, 1, 132],
      };
      const given = await answers(
        arena,
        probe,
        Object.values(kinds).map((args) => call('socket', ...args)),
      );
      for (const [index, kind] of Object.keys(kinds).entries())
        expect(['EPERM', 'EACCES', 'EINVAL', 'EAFNOSUPPORT', 'EPROTONOSUPPORT'], kind).toContain(
          given[index],
        );
    },
  );

  it.skipIf(built === null)('System V objects of another sandbox are not found', async () => {
    const made = await answers(arena, probe, objects(IPC_CREAT | 0o666));
    // Our filter refuses them; a kernel of its own makes them, for the guest.
    expect(made[0]).toBe(hasOwnKernel ? 'done' : 'EPERM');
    const found = await answers(arena, probe, objects(0o666));
    for (const answer of found) expect(['EPERM', 'ENOENT', 'ENOSYS']).toContain(answer);
  });

  const objects = (flags: number): string[] => [
    call('shmget', KEY, 4096, flags),
    call('semget', KEY, 1, flags),
    call('msgget', KEY, flags),
  ];

  it('abstract Unix sockets of the host and of a neighbour are not there', async () => {
    const hostName = `\0berth-attack-${process.pid}`;
    const server = createServer().listen(hostName);
    await arena.platform.deploy(
      'victim',
      'listener',
      `const { spawn } = require('child_process');
       const child = spawn(process.execPath, ['-e', 'require("net").createServer((s) => s.end("victim")).listen("\\\\0victims-own", () => console.log("ready"))'], { stdio: ['ignore', 'pipe', 'inherit'] });
       const ready = new Promise((resolve) => child.stdout.once('data', resolve));
       module.exports = async () => { await ready; return { pid: child.pid }; };`,
    );
    try {
      expect((await arena.platform.call('victim', 'listener')).status).toBe(200);
      const reached = await arena.result<string[]>(`
        const net = require('net');
        const reach = (name) => new Promise((resolve) => net.connect({ path: name }, () => resolve('reached')).on('error', (e) => resolve(e.code)));
        module.exports = async () => Promise.all([${JSON.stringify(hostName)}, '\\0victims-own'].map(reach));`);
      expect(reached).toEqual(['ECONNREFUSED', 'ECONNREFUSED']);
    } finally {
      server.close();
      await arena.platform.must('DELETE', '/v1/tenants/victim/functions/listener');
    }
  });
});

/** What stands in /dev besides five devices that do nothing. */
function moreDevices(): readonly string[] {
  // gVisor's are of the guest's kernel; FUSE and tunnels of it lead to the guest.
  if (hasOwnKernel) return ['fuse', 'net', 'pts', 'shm', 'tty'];
  // A container has folders for terminals and message queues, which are covered, and a terminal that is none.
  return isDocker ? ['mqueue', 'pts', 'tty'] : [];
}

describe('20: devices', () => {
  it('are absent, but for five that do nothing', async () => {
    const seen = await arena.result<{ dev: string[]; opened: Record<string, string> }>(`
      const fs = require('fs');
      const open = (path) => { try { fs.closeSync(fs.openSync(path, 'r+')); return 'opened'; } catch (e) { return e.code; } };
      const wanted = ['kvm', 'mem', 'kmem', 'port', 'fuse', 'tty', 'console', 'ptmx', 'pts/0', 'net/tun', 'vhost-net', 'vsock', 'loop0', 'sda', 'vda', 'nvme0n1', 'kmsg', 'userfaultfd', 'io_uring'];
      module.exports = (cb) => cb(null, { dev: fs.readdirSync('/dev', { withFileTypes: true }).filter((entry) => !entry.isSymbolicLink()).map(({ name }) => name).sort(), opened: Object.fromEntries(wanted.map((name) => [name, open('/dev/' + name)])) });`);
    expect(seen.dev).toEqual(['full', 'null', 'random', 'urandom', 'zero', ...moreDevices()].sort());
    const { tty, fuse, 'net/tun': tunnel, ptmx, ...others } = seen.opened;
    expect(new Set(Object.values(others))).toEqual(new Set(['ENOENT']));
    expect(isDocker ? ['ENXIO', 'EIO'] : ['ENOENT']).toContain(tty);
    if (!hasOwnKernel) expect([fuse, tunnel, ptmx]).toEqual(['ENOENT', 'ENOENT', 'ENOENT']);
  });

  it('there is no terminal and no session of the operator’s', async () => {
    const stat = await arena.result<string>(
      'module.exports = (cb) => cb(null, require("fs").readFileSync("/proc/self/stat", "utf8"))',
    );
    const [, , , session, terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    expect([1, 2]).toContain(Number(session));
    expect(terminal).toBe('0');
  });
});
