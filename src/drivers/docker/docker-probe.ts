/** Looks what each runtime of the engine really gives: makes a sandbox with it and asks from inside. */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IsolationTier } from '../../contracts/isolations.ts';
import type { SandboxId } from '../../contracts/ids.ts';
import { removeTree } from '../../kernel/tree-removal.ts';
import { giveChannel } from '../channel-folder.ts';
import type { DriverFacts, Isolation, RuntimeFacts, SandboxLimits } from '../driver.ts';
import { unusable } from '../facts.ts';
import {
  gapsInside,
  probeCode,
  probeFlags,
  privilegeGaps,
  probeLimits,
  type ProbeAnswer,
  readAnswer,
  sharedNamespaces,
} from '../inside-probe.ts';
import { identityOf } from '../process-identity.ts';
import { SOCKET_PATH } from '../root/root-entries.ts';
import { containerConfig, type ContainerPlan } from './container-config.ts';
import { ContainerSandbox } from './container-sandbox.ts';
import { type DockerGround, type EngineInfo, UnusableEngine, versionsOf } from './docker-ground.ts';
import type { FoundImage } from './engine-images.ts';
import type { ChannelWay, DockerOptions } from './docker-options.ts';

const PROBE_MS = 15_000;
const MAX_CAUSE_CHARACTERS = 300;
/** No runtime changes the limits of a mounted /tmp. */
const tmpLimits = ['tmpBytes', 'tmpInodes'] as const satisfies readonly (keyof SandboxLimits)[];
const groupLimits = ['memoryBytes', 'cpuMillis', 'pids'] as const satisfies readonly (keyof SandboxLimits)[];

const POLL_MS = 10;
const CONNECTED = 'the socket is there';
const DONE = 'that is all';
/** After its answer it stays until it is removed: meanwhile its limits are changed. */
const probe = `${probeCode}
const socket = require('net').connect(${JSON.stringify(SOCKET_PATH)});
const say = (text) => fs.writeSync(2, '\\n' + text + '\\n${DONE}');
socket.on('connect', () => say('${CONNECTED}')).on('error', (error) => say(error.code));
setInterval(() => {}, 1000);`;

export interface ProbedRuntime extends RuntimeFacts {
  readonly canMountSocket: boolean;
}

export interface ProbedEngine {
  readonly facts: DriverFacts;
  readonly runtimes: { readonly [tier in IsolationTier]: ProbedRuntime | null };
}

/** Never rejects: an engine that cannot make a sandbox is a fact, too. */
export async function probeEngine(
  options: DockerOptions,
  prepare: () => Promise<DockerGround>,
): Promise<ProbedEngine> {
  try {
    const ground = await prepare();
    const { standard, hardened } = await probeRuntimes(options, ground);
    const probed = [standard, hardened].filter((runtime) => runtime !== null);
    return {
      runtimes: { standard, hardened },
      facts: {
        driver: 'docker',
        isUsable: true,
        reason: null,
        gaps: new Map(
          probed.flatMap(({ name, gaps }) => [...gaps].map(([gap, why]) => [gap, `${name}: ${why}`])),
        ),
        cgroupVersion: ground.info.CgroupVersion === '2' ? 2 : 1,
        runtimes: { standard, hardened },
        nodeVersions: versionsOf(ground.images),
      },
    };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const reason =
      error instanceof UnusableEngine ? said : `a container could not be made: ${said.slice(0, 500)}`;
    options.log.warn({ err: error }, 'the Docker Engine cannot be used');
    return { facts: unusable('docker', reason), runtimes: { standard: null, hardened: null } };
  }
}

async function probeRuntimes(
  options: DockerOptions,
  ground: DockerGround,
): Promise<ProbedEngine['runtimes']> {
  const { standard, hardened } = ground.runtimes;
  const first = standard === null ? null : await probeRuntime(options, ground, standard);
  const second = hardened === standard ? first : await probeHardened(options, ground, hardened);
  if (second === null || second.hasOwnKernel) return { standard: first, hardened: second };
  options.log.warn({ runtime: hardened }, 'it runs on the kernel of the host: no tenant is hardened by it');
  return { standard: first, hardened: null };
}

/** One that does not work is missed by the tenants that ask for it; the others need not wait for it. */
async function probeHardened(
  options: DockerOptions,
  ground: DockerGround,
  runtime: string | null,
): Promise<ProbedRuntime | null> {
  if (runtime === null) return null;
  try {
    return await probeRuntime(options, ground, runtime);
  } catch (error) {
    // What the operator has asked for is not given up in silence.
    if (ground.runtimes.standard === null || error instanceof UnusableEngine) throw error;
    options.log.warn({ err: error, runtime }, 'the runtime of hardened tenants makes no container');
    return null;
  }
}

const gapOfUid: [Isolation, string] = [
  'own-uid',
  'the platform does not run as root, so all sandboxes have its own user id',
];

interface Answer {
  readonly inside: ProbeAnswer;
  readonly canMountSocket: boolean;
  readonly canUpdate: boolean;
  readonly hasOwnKernel: boolean;
  readonly canFreeze: boolean;
  readonly isFiltered: boolean;
}

async function probeRuntime(
  options: DockerOptions,
  ground: DockerGround,
  runtime: string,
): Promise<ProbedRuntime> {
  const answer = await askOverChannel(options, ground, runtime);
  const { inside, canMountSocket, canUpdate, hasOwnKernel, canFreeze, isFiltered } = answer;
  const gaps = new Map([
    ...(hasOwnKernel ? gapsOfGuest(isFiltered) : [...sharedNamespaces(inside), ...privilegeGaps(inside)]),
    ...gapsInside(inside),
    ...gapsOfEngine(ground.info),
    ...(canMountSocket && ground.ownUid !== null ? [gapOfUid] : []),
  ]);
  const fixedLimits = canUpdate ? tmpLimits : [...tmpLimits, ...groupLimits];
  return { name: runtime, hasOwnKernel, gaps, fixedLimits, canFreeze, canMountSocket };
}

/** @throws UnusableEngine when the socket is wanted and nothing but the standard streams goes */
async function askOverChannel(
  options: DockerOptions,
  ground: DockerGround,
  runtime: string,
): Promise<Answer> {
  const { channel, log } = options;
  const [{ id: image }] = [...ground.images.values()] as [FoundImage];
  const isSocketWanted = channel !== 'stdio';
  try {
    const answer = await ask(options, ground, { runtime, way: isSocketWanted ? 'socket' : 'stdio', image });
    if (channel === 'socket' && !answer.canMountSocket) throw socketRefused(runtime, { cause: null });
    return answer;
  } catch (error) {
    if (!isSocketWanted || error instanceof UnusableEngine) throw error;
    // A folder of this host is none of the engine's: it refuses to mount what it does not see.
    const answer = await ask(options, ground, { runtime, way: 'stdio', image });
    if (channel === 'socket') throw socketRefused(runtime, { cause: error });
    log.info({ err: error, runtime }, 'no socket can be mounted; frames go over standard streams');
    return answer;
  }
}

/** @param cause null: it was mounted, and there is no connecting to it */
function socketRefused(runtime: string, { cause }: { readonly cause: unknown }): UnusableEngine {
  const why =
    cause === null
      ? `${runtime} does not let a container connect to one (runsc does with --host-uds=open)`
      : `the engine has to see the platform's run directory (${String(cause).slice(0, MAX_CAUSE_CHARACTERS)})`;
  return new UnusableEngine(
    `docker.channel is socket, and no socket can be mounted: ${why}; mend that, or set docker.channel to auto or stdio`,
    { cause },
  );
}

interface Question {
  readonly runtime: string;
  readonly way: ChannelWay;
  readonly image: string;
}

/** Starts a container of an image that was built anew. @throws Error when Node does not answer from it */
export async function tryImage(
  options: DockerOptions,
  ground: DockerGround,
  image: FoundImage,
): Promise<void> {
  const runtime = ground.runtimes.standard ?? ground.runtimes.hardened;
  // Whether a socket can be mounted was found out before; this goes in any case.
  if (runtime !== null) await ask(options, ground, { runtime, way: 'stdio', image: image.id });
}

async function ask(
  options: DockerOptions,
  ground: DockerGround,
  { runtime, way, image }: Question,
): Promise<Answer> {
  const id = `s${randomBytes(8).toString('hex')}` as SandboxId;
  const channelDir = join(options.runDir, `probe-${id}`);
  await mkdir(channelDir, { mode: 0o700 });
  const listener = await listen(join(channelDir, 'channel.sock'));
  const uid = way === 'socket' && ground.ownUid !== null ? ground.ownUid : await ground.uids.take();
  const plan: ContainerPlan = {
    spec: { id, channelDir, limits: probeLimits },
    image,
    runtime,
    // Not known yet; a generous limit of processes does for both.
    hasOwnKernel: true,
    way,
    uid,
    uidBase: ground.uidBase,
    seccomp: ground.seccomp,
    command: [...probeFlags, '-e', probe],
    instance: options.instance,
    platform: identityOf(process.pid)!,
  };
  const config = containerConfig(plan);
  const sandbox = new ContainerSandbox(ground.containers, { basis: plan, config, graceSeconds: null });
  try {
    if (way === 'socket' && ground.ownUid === null) await giveChannel(channelDir, uid);
    await sandbox.start();
    const canUpdate = await canChangeLimits(sandbox);
    const [answer = '', socketState] = (await answerOf(sandbox)).split('\n');
    const inside = readAnswer(answer);
    const hasOwnKernel = inside.release !== ground.info.KernelVersion;
    return {
      inside,
      hasOwnKernel,
      canFreeze: !hasOwnKernel && (await canBeFrozen(sandbox)),
      canMountSocket: socketState === CONNECTED,
      canUpdate,
      isFiltered: sandbox.view?.isFiltered === true,
    };
  } finally {
    await sandbox.remove();
    listener.close();
    ground.uids.release(uid);
    await removeTree(options.runDir, channelDir);
  }
}

/** @throws Error with what it said when it does not answer in time */
async function answerOf(sandbox: ContainerSandbox): Promise<string> {
  const end = performance.now() + PROBE_MS;
  while (!sandbox.stderrText.endsWith(DONE)) {
    if (performance.now() > end) throw new Error(`the probe did not answer: ${sandbox.stderrText}`);
    await sleep(POLL_MS);
  }
  return sandbox.stderrText;
}

async function canChangeLimits(sandbox: ContainerSandbox): Promise<boolean> {
  try {
    await sandbox.setLimits({ ...probeLimits, cpuMillis: 900 });
    return true;
  } catch {
    return false; // a fact, told as `fixedLimits`
  }
}

/** Where the host shows its group, and lets this process write to it. */
async function canBeFrozen({ view }: ContainerSandbox): Promise<boolean> {
  if (view?.group.canFreeze !== true) return false;
  try {
    await view.group.setFrozen(true);
    await view.group.setFrozen(false);
    return true;
  } catch {
    return false; // a fact, told as `canFreeze`
  }
}

async function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return server;
}

/**
 * Namespaces are the guest kernel's own, and gVisor has no set-user-id to give privileges by (its prctl always answers
 * that no_new_privs is set). What reaches the host's kernel is what the guest's kernel may call, under its own filter.
 */
function gapsOfGuest(isFiltered: boolean): [Isolation, string][] {
  return isFiltered
    ? []
    : [['seccomp', 'whether the kernel of the sandbox is under a filter cannot be seen']];
}

function gapsOfEngine(info: EngineInfo): [Isolation, string][] {
  const gaps: [Isolation, string][] = [];
  const unless = (isGiven: boolean, isolation: Isolation, reason: string): void => {
    if (!isGiven) gaps.push([isolation, reason]);
  };
  unless(info.MemoryLimit, 'memory-limit', 'the engine cannot limit memory');
  unless(info.CpuCfsQuota, 'cpu-limit', 'the engine cannot limit CPU time');
  unless(info.PidsLimit, 'pids-limit', 'the engine cannot limit the number of processes');
  gaps.push([
    'dies-with-platform',
    'the containers of a platform that is killed live until it is started again',
  ]);
  return gaps;
}
