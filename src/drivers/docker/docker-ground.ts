/** What all sandboxes of a Docker driver stand on: the engine, its runtimes, images, uids. Prepared once. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { type IsolationTier, isolationTiers } from '../../contracts/isolations.ts';
import { describeImage, type ImageSource, majorOf, runtimeHash } from '../image/sandbox-image.ts';
import { seccompPolicy } from '../seccomp/policy.ts';
import { dockerProfile } from '../seccomp/docker-profile.ts';
import type { Architecture } from '../seccomp/seccomp-compiler.ts';
import { UidPool, type UidRange } from '../uid-pool.ts';
import {
  DOCKER_UID_RANGE,
  type DockerOptions,
  REMAPPED_SERVICE_UIDS,
  REMAPPED_UIDS,
  SERVICE_UID_RANGE,
} from './docker-options.ts';
import { EngineClient, EngineError } from './engine-client.ts';
import { EngineContainers } from './engine-containers.ts';
import { findCurrentImage, findImage, type FoundImage, loadImage } from './engine-images.ts';

const VERSION_MS = 5_000;
const engineArchitectures: Readonly<Record<string, Architecture>> = { x86_64: 'x64', aarch64: 'arm64' };

const infoSchema = z.object({
  OSType: z.string(),
  Architecture: z.string(),
  KernelVersion: z.string(),
  Runtimes: z.record(z.string(), z.unknown()),
  SecurityOptions: z.array(z.string()).nullish(),
  DockerRootDir: z.string(),
  CgroupVersion: z.string().optional(),
  MemoryLimit: z.boolean(),
  CpuCfsQuota: z.boolean(),
  PidsLimit: z.boolean(),
});
export type EngineInfo = z.infer<typeof infoSchema>;

/** The engine lacks something without which no sandbox can be made; the message says what to do. */
export class UnusableEngine extends Error {
  override readonly name = 'UnusableEngine';
}

export interface DockerGround {
  readonly engine: EngineClient;
  readonly containers: EngineContainers;
  readonly info: EngineInfo;
  readonly runtimes: { readonly [tier in IsolationTier]: string | null };
  readonly seccomp: string;
  /** Numbers of users on the host. */
  readonly uids: UidPool;
  /** What a user's number in a container is lower by. */
  readonly uidBase: number;
  /** Not root: a mounted socket can only be given to the platform's own user. */
  readonly ownUid: number | null;
  /** By major version of Node. */
  readonly images: ReadonlyMap<number, FoundImage>;
}

export interface FoundEngine {
  readonly engine: EngineClient;
  readonly info: EngineInfo;
  readonly architecture: Architecture;
}

/** An engine that answers and runs programs of this host. @throws UnusableEngine */
export async function requireEngine(host: string): Promise<FoundEngine> {
  const engine = new EngineClient(host);
  try {
    const info = infoSchema.parse(await engine.call({ method: 'GET', path: '/info' }));
    return { engine, info, architecture: requireArchitecture(info) };
  } catch (error) {
    engine.close();
    throw error instanceof EngineError ? new UnusableEngine(wordsFor(error, host)) : error;
  }
}

/** @throws UnusableEngine */
export async function prepareGround(options: DockerOptions): Promise<DockerGround> {
  await mkdir(options.runDir, { recursive: true });
  const { engine, info, architecture } = await requireEngine(options.host);
  const uid = process.geteuid?.() ?? 0;
  const uidBase = uidBaseOf(info);
  try {
    return {
      engine,
      containers: new EngineContainers(engine),
      info,
      runtimes: requireRuntimes(options, info),
      seccomp: JSON.stringify(dockerProfile(seccompPolicy, architecture)),
      uids: new UidPool(options.uidRange ?? uidRangesOf(uidBase).sandboxes),
      uidBase,
      ownUid: uid === 0 ? null : uid,
      images: await prepareImages(options, engine, architecture),
    };
  } catch (error) {
    engine.close();
    throw error instanceof EngineError ? new UnusableEngine(wordsFor(error, options.host)) : error;
  }
}

/**
 * The current image of each major version. One that has another runtime in it than this platform's is built anew from the
 * Node of this host; one that is not there and cannot be built is left out, but for the platform's own.
 */
export async function prepareImages(
  options: Pick<DockerOptions, 'nodePaths' | 'runtimeFile' | 'log'>,
  engine: EngineClient,
  architecture: Architecture,
): Promise<ReadonlyMap<number, FoundImage>> {
  const images = new Map<number, FoundImage>();
  const nodePaths = options.nodePaths();
  for (const nodePath of nodePaths) {
    const work = prepareImage({ nodePath, runtimeFile: options.runtimeFile, architecture }, engine);
    const image = await work.catch((error: unknown) => {
      if (nodePath === nodePaths[0]) throw error;
      options.log.warn({ nodePath, err: error }, 'no image can be made of this Node.js; it is left out');
      return null;
    });
    if (image !== null) images.set(majorOf(image.nodeVersion), image);
  }
  return images;
}

async function prepareImage(
  source: Pick<ImageSource, 'nodePath' | 'runtimeFile' | 'architecture'>,
  engine: EngineClient,
): Promise<FoundImage> {
  const nodeVersion = await versionOf(source.nodePath);
  const major = majorOf(nodeVersion);
  const present = await findCurrentImage(engine, major);
  if (present?.runtime === runtimeHash(source.runtimeFile)) return present;
  const image = describeImage({ ...source, nodeVersion });
  await loadImage(engine, image);
  // By its own tag: another platform on this engine may have made another one the current one meanwhile.
  const found = await findImage(engine, image.tag);
  if (found !== null) return found;
  throw new UnusableEngine(`the engine does not keep the image of Node ${nodeVersion}`);
}

export function versionsOf(images: DockerGround['images']): readonly string[] {
  return [...images.values()].map(({ nodeVersion }) => nodeVersion);
}

/** @returns `24.21.0` */
export async function versionOf(nodePath: string): Promise<string> {
  const { stdout } = await promisify(execFile)(nodePath, ['--version'], { timeout: VERSION_MS, env: {} });
  return stdout.trim().replace(/^v/, '');
}

export function requireArchitecture(info: Pick<EngineInfo, 'OSType' | 'Architecture'>): Architecture {
  const architecture = engineArchitectures[info.Architecture];
  if (info.OSType === 'linux' && architecture === process.arch) return architecture;
  throw new UnusableEngine(
    `the engine runs ${info.OSType} on ${info.Architecture}; images are made of this host's Node, which is linux on ${process.arch}`,
  );
}

/**
 * Of an engine with userns-remap, the host's number of the user who is root in its containers: it stands in the name of the
 * engine's folder, `/var/lib/docker/<uid>.<gid>` (docs.docker.com/engine/security/userns-remap). 0: without.
 * @throws UnusableEngine when it is not to be found there
 */
export function uidBaseOf({
  SecurityOptions,
  DockerRootDir,
}: Pick<EngineInfo, 'SecurityOptions' | 'DockerRootDir'>): number {
  if (SecurityOptions?.includes('name=userns') !== true) return 0;
  const [, uid, gid] = /\/(\d{1,10})\.(\d{1,10})$/.exec(DockerRootDir) ?? [];
  if (uid !== undefined && uid === gid) return Number(uid);
  throw new UnusableEngine(
    `the engine maps users (userns-remap) from numbers that cannot be told from ${DockerRootDir}; give it the same range of uids and gids`,
  );
}

/** The host's: the engine maps no more than its range, of 65536 as a rule. */
export function uidRangesOf(base: number): { readonly sandboxes: UidRange; readonly services: UidRange } {
  if (base === 0) return { sandboxes: DOCKER_UID_RANGE, services: SERVICE_UID_RANGE };
  const onHost = ({ first, count }: UidRange): UidRange => ({ first: base + first, count });
  return { sandboxes: onHost(REMAPPED_UIDS), services: onHost(REMAPPED_SERVICE_UIDS) };
}

function requireRuntimes({ runtimes }: DockerOptions, { Runtimes }: EngineInfo): DockerOptions['runtimes'] {
  for (const tier of isolationTiers) {
    const name = runtimes[tier];
    if (name !== null && !(name in Runtimes))
      throw new UnusableEngine(
        `the engine has no runtime "${name}" (it has ${Object.keys(Runtimes).join(', ')}); add it to daemon.json, or set docker.runtime`,
      );
  }
  return runtimes;
}

function wordsFor({ status, message }: EngineError, host: string): string {
  return status === 0
    ? `no Docker Engine answers at ${host}: ${message}; start it, or set BERTH_DOCKER_HOST`
    : `the Docker Engine at ${host} refused: ${message}`;
}
