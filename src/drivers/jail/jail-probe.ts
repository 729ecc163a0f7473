/** Looks what the jail really gives on this host: makes one and asks from inside. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '../../kernel/tree-removal.ts';
import type { SandboxId } from '../../contracts/ids.ts';
import { userNamespaceSwitches } from '../../contracts/user-namespace-switches.ts';
import type { SandboxCgroup } from '../cgroups/cgroup.ts';
import { type CgroupDetection } from '../cgroups/cgroup-detection.ts';
import type { DriverFacts, Isolation } from '../driver.ts';
import {
  gapsInside,
  privilegeGaps,
  probeCode,
  probeFlags,
  probeLimits,
  type ProbeAnswer,
  readAnswer,
  sharedNamespaces,
} from '../inside-probe.ts';
import { ownNodeVersion, unusable } from '../facts.ts';
import { identityOf } from '../process-identity.ts';
import { SandboxRecords } from '../sandbox-record.ts';
import { type JailGround, UnusableHost } from './jail-ground.ts';
import { DEFAULT_START_MS, type JailOptions } from './jail-options.ts';
import { startJail } from './jail-process.ts';
import { JailSandbox } from './jail-sandbox.ts';
import { withDeadline } from '../../kernel/deadline.ts';
import { systemClock } from '../../kernel/clock.ts';

const REMOVE_MS = 5_000;

/** Never rejects: a host that cannot make a jail is a fact, too. */
export async function probeJail(
  options: JailOptions,
  prepare: () => Promise<JailGround>,
): Promise<DriverFacts> {
  try {
    const ground = await prepare();
    const answer = await askFromInside(options, ground);
    const gaps = new Map([
      ...sharedNamespaces(answer),
      ...privilegeGaps(answer),
      ...gapsInside(answer),
      ...gapsOfHost(ground),
    ]);
    const canFreeze = ground.cgroups.tree?.canFreeze ?? false;
    const runtime = { name: 'bubblewrap', hasOwnKernel: false, gaps, fixedLimits: [], canFreeze };
    return {
      driver: 'jail',
      isUsable: true,
      reason: null,
      gaps,
      cgroupVersion: ground.cgroups.tree?.version ?? null,
      runtimes: { standard: runtime, hardened: null },
      nodeVersions: [ownNodeVersion],
    };
  } catch (error) {
    const reason = error instanceof UnusableHost ? error.message : reasonForFailure(error);
    options.log.warn({ err: error }, 'the jail cannot be used on this host');
    return unusable('jail', reason);
  }
}

async function askFromInside(options: JailOptions, ground: JailGround): Promise<ProbeAnswer> {
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
    cgroup = (await ground.cgroups.tree?.create(id, probeLimits)) ?? null;
    const nodeArguments = [...probeFlags, '-e', probeCode];
    const { lowerDirs } = ground.image;
    const { launch } = ground;
    const { rootDir, runDir } = options;
    const jail = await startJail({
      id,
      runDir,
      rootDir,
      lowerDirs,
      launch,
      channelDir,
      limits: probeLimits,
      cgroup,
      uid,
      nodeArguments,
    });
    const sandbox = new JailSandbox(id, jail, cgroup);
    const ended = sandbox.ended();
    ended.catch(() => undefined);
    await sandbox.enter(options.startMs ?? DEFAULT_START_MS).catch((error: unknown) => {
      sandbox.kill();
      options.log.info({ err: error }, 'the probe did not enter its jail');
    });
    const { stderrTail } = await withDeadline(systemClock, options.startMs ?? DEFAULT_START_MS, ended);
    return readAnswer(stderrTail);
  } finally {
    if (uid !== null) ground.uids?.release(uid);
    await removeTree(options.runDir, channelDir);
    // A jail that started has taken it along with its end; one that did not leaves it.
    await cgroup?.remove(REMOVE_MS);
    await records.remove(id);
  }
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
