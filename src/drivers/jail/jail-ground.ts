/** What all sandboxes of a jail driver stand on: tools, control groups, uids, root image. Prepared once. */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { systemClock } from '../../kernel/clock.ts';
import type { CgroupDetection } from '../cgroups/cgroup-detection.ts';
import { detectCgroups } from '../cgroups/cgroup-detection.ts';
import type { Architecture } from '../seccomp/seccomp-compiler.ts';
import { UidPool } from '../uid-pool.ts';
import { DEFAULT_UID_RANGE, type JailOptions, TOOL_DIRECTORIES } from './jail-options.ts';
import { type LaunchFiles, prepareLaunchFiles } from './launch-files.ts';
import { keepInUse, prepareRootImage, removeUnusedImages, type RootImage } from './root-image.ts';

const tools = {
  bwrap: 'bubblewrap',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  prlimit: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
} as const;

export interface JailGround {
  readonly image: RootImage;
  readonly launch: LaunchFiles;
  readonly cgroups: CgroupDetection;
  /** null: not root, sandboxes have the platform's own uid */
  readonly uids: UidPool | null;
  /** Images count as unused from now on. */
  readonly leaveImages: () => void;
}

/** The host lacks something without which no jail can be made; the message says what to do. */
export class UnusableHost extends Error {
  override readonly name = 'UnusableHost';
}

/** Name of the control group of all sandboxes of a run directory. */
export function groupNameOf(runDir: string): string {
  return `berth-${createHash('sha256').update(runDir).digest('hex').slice(0, 12)}`;
}

/** @throws UnusableHost */
export async function prepareGround(options: JailOptions): Promise<JailGround> {
  const isRoot = process.geteuid?.() === 0;
  requireTools();
  mkdirSync(options.runDir, { recursive: true });
  if (isRoot) {
    chmodSync(options.runDir, 0o711);
    requireOpenPath(options.runDir);
  }
  const root = await prepareRoot(options);
  const cgroups = await detectCgroups({ groupName: groupNameOf(options.runDir), isRoot, log: options.log });
  const uids = isRoot ? new UidPool(options.uidRange ?? DEFAULT_UID_RANGE) : null;
  return { ...root, cgroups, uids };
}

type JailRoot = Pick<JailGround, 'image' | 'launch' | 'leaveImages'>;

/** What sandboxes are made of, as the host has it now. */
export async function prepareRoot(options: JailOptions): Promise<JailRoot> {
  const architecture = requireArchitecture();
  const image = await prepareRootImage({ ...options, architecture });
  const launch = await prepareLaunchFiles({ ...options, ...image, architecture });
  await removeUnusedImages(options.rootDir);
  const names = [...image.lowerDirs.split(':'), launch.launchDir];
  const leaveImages = keepInUse({ rootDir: options.rootDir, names }, systemClock);
  return { image, launch, leaveImages };
}

function requireArchitecture(): Architecture {
  const { arch, platform } = process;
  if (platform === 'linux' && (arch === 'x64' || arch === 'arm64')) return arch;
  throw new UnusableHost(`the jail needs Linux on x64 or arm64; this is ${platform} on ${arch}`);
}

function requireTools(): void {
  for (const [tool, debianPackage] of Object.entries(tools)) {
    if (!TOOL_DIRECTORIES.some((directory) => existsSync(join(directory, tool)))) {
      throw new UnusableHost(`"${tool}" is missing; install it: apt-get install ${debianPackage}`);
    }
  }
}

/** Sandboxes run under uids of their own and must pass through each directory above their channel. */
function requireOpenPath(path: string): void {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) {
      throw new UnusableHost(
        `sandboxes cannot pass through ${at}; choose a run directory such as /run/berth`,
      );
    }
    if (at === dirname(at)) return;
  }
}
