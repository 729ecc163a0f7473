/**
 * The sandbox image as `docker load` takes it, made without a registry from the files of this host: one layer with Node
 * and its libraries, one with the runtime. The same files always give the same image, on any machine and at any time.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  NODE_PATH,
  type RootEntry,
  rootContents,
  RUNTIME_PATH,
  sandboxEnvironment,
} from '../root/root-entries.ts';
import type { Architecture } from '../seccomp/seccomp-compiler.ts';
import { tarArchive, tarEnd, tarEntry, type TarEntry } from './tar.ts';

export const IMAGE_REPOSITORY = 'berth-sandbox';
/** Labels of an image: the exact version of Node, the hash of the runtime. */
export const imageLabels = {
  node: 'berth.node',
  runtime: 'berth.runtime',
} as const;

const TAG_DIGITS = 12;
const ociArchitectures: Readonly<Record<Architecture, string>> = { x64: 'amd64', arm64: 'arm64' };
/** A time in an image would make each build another image. */
const NO_TIME = '1970-01-01T00:00:00Z';

export interface ImageSource {
  readonly nodePath: string;
  /** `24.21.0` */
  readonly nodeVersion: string;
  readonly runtimeFile: string;
  readonly architecture: Architecture;
}

export interface SandboxImage {
  /** `berth-sandbox:24.21.0-<hash of its configuration, which holds the hashes of its layers>` */
  readonly tag: string;
  /** `berth-sandbox:node24`: what was built last for this major version. */
  readonly currentTag: string;
  /** The archive, read from the files when it is iterated. */
  readonly archive: () => Iterable<Buffer>;
}

/** Reads all files once to hash them: about 0.2 s. @throws RangeError when a library of Node is not on this host */
export function describeImage(source: ImageSource): SandboxImage {
  const { entries, hasCertificates } = rootContents(source.nodePath, source.architecture);
  const runtime = readFileSync(source.runtimeFile);
  const layers = [
    layerOf('base', entries.map(tarEntryOf)),
    layerOf('runtime', [
      { path: RUNTIME_PATH.slice(1), mode: 0o644, content: { kind: 'bytes', bytes: runtime } },
    ]),
  ];
  const config = Buffer.from(JSON.stringify(configOf(source, layers, hasCertificates)));
  const digest = createHash('sha256').update(config).digest('hex');
  const tag = `${IMAGE_REPOSITORY}:${source.nodeVersion}-${digest.slice(0, TAG_DIGITS)}`;
  const currentTag = currentTagOf(majorOf(source.nodeVersion));
  return { tag, currentTag, archive: () => archiveOf({ config, digest, layers, tags: [tag, currentTag] }) };
}

export function currentTagOf(major: number): string {
  return `${IMAGE_REPOSITORY}:node${major}`;
}

export function majorOf(nodeVersion: string): number {
  return Number.parseInt(nodeVersion, 10);
}

/** What an image's `berth.runtime` says; a platform only uses images with its own runtime in them. */
export function runtimeHash(runtimeFile: string): string {
  return createHash('sha256').update(readFileSync(runtimeFile)).digest('hex').slice(0, 16);
}

interface Layer {
  readonly name: string;
  readonly size: number;
  readonly digest: string;
  readonly entries: readonly TarEntry[];
}

function layerOf(name: string, entries: readonly TarEntry[]): Layer {
  const hash = createHash('sha256');
  let size = 0;
  for (const chunk of tarArchive(entries)) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { name, size, digest: hash.digest('hex'), entries };
}

function tarEntryOf(entry: RootEntry): TarEntry {
  const path = entry.path.slice(1);
  if (entry.kind === 'directory') return { path, mode: entry.mode, content: { kind: 'directory' } };
  if (entry.kind === 'text')
    return { path, mode: 0o644, content: { kind: 'bytes', bytes: Buffer.from(entry.text) } };
  return { path, mode: 0o755, content: { kind: 'file', from: entry.from } };
}

/** github.com/opencontainers/image-spec, config.md */
function configOf(source: ImageSource, layers: readonly Layer[], hasCertificates: boolean): object {
  const environment = Object.entries(sandboxEnvironment(hasCertificates));
  return {
    architecture: ociArchitectures[source.architecture],
    os: 'linux',
    created: NO_TIME,
    config: {
      Env: environment.map(([name, value]) => `${name}=${value}`),
      Entrypoint: [NODE_PATH],
      WorkingDir: '/tmp',
      User: '1000:1000',
      Labels: {
        [imageLabels.node]: source.nodeVersion,
        [imageLabels.runtime]: runtimeHash(source.runtimeFile),
      },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
    history: layers.map(({ name }) => ({ created: NO_TIME, created_by: `berth image build: ${name}` })),
  };
}

interface Archive {
  readonly config: Buffer;
  readonly digest: string;
  readonly layers: readonly Layer[];
  readonly tags: readonly string[];
}

/** The format of `docker save` (github.com/moby/moby, image/spec/spec.md, "Combined Image JSON + Filesystem Changeset"). */
function* archiveOf({ config, digest, layers, tags }: Archive): Generator<Buffer, void, undefined> {
  const manifest = [
    {
      Config: `${digest}.json`,
      RepoTags: tags,
      Layers: layers.map((layer) => `${layer.digest}/layer.tar`),
    },
  ];
  const bytes = (path: string, content: Buffer): Iterable<Buffer> =>
    tarEntry({ path, mode: 0o644, content: { kind: 'bytes', bytes: content } });
  yield* bytes('manifest.json', Buffer.from(JSON.stringify(manifest)));
  yield* bytes(`${digest}.json`, config);
  for (const layer of layers)
    yield* tarEntry({
      path: `${layer.digest}/layer.tar`,
      mode: 0o644,
      content: { kind: 'chunks', size: layer.size, chunks: () => tarArchive(layer.entries) },
    });
  yield tarEnd;
}
