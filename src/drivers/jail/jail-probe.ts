/** Looks what the jail really gives on this host: makes one and asks from inside. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { removeTree } from '../../kernel/tree-removal.ts';
import type { SandboxId } from '../../contracts/ids.ts';
import { userNamespaceSwitches } from '../../contracts/user-namespace-switches.ts';
import type { SandboxCgroup } from '../cgroups/cgroup.ts';
import { type CgroupDetection } from '../cgroups/cgroup-detection.ts';
import type { DriverFacts, Isolation, SandboxLimits } from '../driver.ts';
import { identityOf } from '../process-identity.ts';
import { SandboxRecords } from '../sandbox-record.ts';
import { type JailGround, UnusableHost } from './jail-ground.ts';
import { DEFAULT_START_MS, type JailOptions } from './jail-options.ts';
import { startJail } from './jail-process.ts';
import { JailSandbox } from './jail-sandbox.ts';
import { withDeadline } from '../../kernel/deadline.ts';
import { systemClock } from '../../kernel/clock.ts';

const REMOVE_MS = 5_000;
const limits: SandboxLimits = {
  memoryBytes: 128 * 1024 * 1024,
  cpuMillis: 1_000,
  pids: 32,
  tmpBytes: 1024 * 1024,
  tmpInodes: 64,
};

const namespaces = {
  user: 'user-namespace',
  pid: 'pid-namespace',
  mnt: 'mount-namespace',
  net: 'network-namespace',
  ipc: 'ipc-namespace',
  uts: 'uts-namespace',
  cgroup: 'cgroup-namespace',
} as const satisfies Record<string, Isolation>;
const namespaceNames = Object.keys(namespaces) as (keyof typeof namespaces)[];

/** Runs inside; the answer goes to descriptor 2, the only one that the host reads. */
const probeCode = `
const fs = require('fs');
const links = {};
for (const name of ${JSON.stringify(namespaceNames)}) links[name] = fs.readlinkSync('/proc/self/ns/' + name);
const status = Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').split('\\n').map((line) => line.split(':\\t')));
let rootWrite = 'written';
try { fs.writeFileSync('/probe', ''); } catch (error) { rootWrite = error.code; }
const tmp = fs.statfsSync('/tmp');
fs.writeSync(2, JSON.stringify({ links, status, rootWrite, tmpBytes: tmp.blocks * tmp.bsize, tmpInodes: tmp.files }));
`;

const answerSchema = z.object({
  links: z.record(z.enum(namespaceNames), z.string()),
  status: z.record(z.string(), z.string()),
  rootWrite: z.string(),
  tmpBytes: z.number(),
  tmpInodes: z.number(),
});
type Answer = z.infer<typeof answerSchema>;

/** Never rejects: a host that cannot make a jail is a fact, too. */
export async function probeJail(
  options: JailOptions,
  prepare: () => Promise<JailGround>,
): Promise<DriverFacts> {
  try {
    const ground = await prepare();
    const answer = await askFromInside(options, ground);
    return {
      driver: 'jail',
      isUsable: true,
      reason: null,
      gaps: new Map([...gapsInside(answer), ...gapsOfHost(ground)]),
      cgroupVersion: ground.cgroups.tree?.version ?? null,
    };
  } catch (error) {
    const reason = error instanceof UnusableHost ? error.message : reasonForFailure(error);
    options.log.warn({ err: error }, 'the jail cannot be used on this host');
    return { driver: 'jail', isUsable: false, reason, gaps: new Map(), cgroupVersion: null };
  }
}

async function askFromInside(options: JailOptions, ground: JailGround): Promise<Answer> {
  const id = `s${randomBytes(8).toString('hex')}` as SandboxId;
  const channelDir = join(options.runDir, `probe-${id}`);
  await mkdir(channelDir, { mode: 0o755 });
  const uid = (await ground.uids?.take()) ?? null;
  const records = new SandboxRecords(options.runDir);
  const cgroups = [...(ground.cgroups.tree?.pathsOf(id) ?? [])];
  const platform = identityOf(process.pid)!;
  let cgroup: SandboxCgroup | null = null;
  try {
    await records.write({ version: 1, id, platform, process: null, channelDir, cgroups, tmpDir: null });
    cgroup = (await ground.cgroups.tree?.create(id, limits)) ?? null;
    const nodeArguments = ['-e', probeCode];
    const { lowerDirs } = ground.image;
    const { launch } = ground;
    const { rootDir } = options;
    const jail = await startJail({ rootDir, lowerDirs, launch, channelDir, limits, uid, nodeArguments });
    const sandbox = new JailSandbox(id, jail, cgroup);
    const ended = sandbox.ended();
    ended.catch(() => undefined);
    await sandbox.enter(options.startMs ?? DEFAULT_START_MS).catch((error: unknown) => {
      sandbox.kill();
      options.log.info({ err: error }, 'the probe did not enter its jail');
    });
    const { stderrTail } = await withDeadline(systemClock, options.startMs ?? DEFAULT_START_MS, ended);
    const start = stderrTail.indexOf('{');
    if (start === -1) throw new Error(stderrTail.trim() || 'the probe said nothing');
    return answerSchema.parse(JSON.parse(stderrTail.slice(start)));
  } finally {
    if (uid !== null) ground.uids?.release(uid);
    await removeTree(options.runDir, channelDir);
    // A jail that started has taken it along with its end; one that did not leaves it.
    await cgroup?.remove(REMOVE_MS);
    await records.remove(id);
  }
}

function gapsInside({ links, status, rootWrite, tmpBytes, tmpInodes }: Answer): [Isolation, string][] {
  const gaps: [Isolation, string][] = namespaceNames
    .filter((name) => links[name] === readlinkSync(`/proc/self/ns/${name}`))
    .map((name) => [namespaces[name], `the sandbox shares the host's ${name} namespace`]);
  const unless = (isGiven: boolean, isolation: Isolation, reason: string): void => {
    if (!isGiven) gaps.push([isolation, reason]);
  };
  const hasCapabilities = ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb'].some((name) =>
    /[1-9a-f]/.test(status[name] ?? 'f'),
  );
  unless(!hasCapabilities, 'no-capabilities', 'processes in the sandbox have capabilities');
  unless(status['NoNewPrivs'] === '1', 'no-new-privileges', 'no_new_privs is not set');
  unless(status['Seccomp'] === '2', 'seccomp', 'no seccomp filter is in force');
  unless(
    rootWrite === 'EROFS' || rootWrite === 'EACCES',
    'read-only-root',
    'the root file system can be written',
  );
  const isBounded = tmpBytes <= limits.tmpBytes && tmpInodes <= limits.tmpInodes;
  unless(isBounded, 'tmp-limit', '/tmp is not bounded in bytes and files');
  return gaps;
}

function gapsOfHost(ground: {
  readonly uids: unknown;
  readonly cgroups: CgroupDetection;
}): [Isolation, string][] {
  const gaps: [Isolation, string][] = [];
  if (ground.uids === null) {
    gaps.push(['own-uid', 'the platform does not run as root, so all sandboxes have its own user id']);
  }
  for (const [controller, reason] of ground.cgroups.reasons) gaps.push([`${controller}-limit`, reason]);
  return gaps;
}

/** Distributions forbid unprivileged user namespaces in different ways; each has its own way out. */
function reasonForFailure(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  for (const { file, forbids, wayOut } of userNamespaceSwitches) {
    if (existsSync(file) && readFileSync(file, 'utf8').trim() === forbids) return wayOut;
  }
  return `a jail could not be made: ${said.slice(0, 500)}`;
}
