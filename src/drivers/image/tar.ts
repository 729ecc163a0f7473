/**
 * Tar archives (POSIX.1-2008, pax, ustar interchange format) whose bytes depend on names, modes and contents alone: no
 * times, no owners, so that the same files always make the same archive. Streams; a file is never held in memory.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { posix } from 'node:path';

const BLOCK = 512;
const READ_BYTES = 1024 * 1024;
/** Without the prefix field: our paths are short. */
const MAX_NAME_BYTES = 100;
/** Two blocks of zeros end an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * BLOCK);

export type TarContent =
  | { readonly kind: 'directory' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly from: string }
  /** `size` bytes in chunks, made when they are read. */
  | { readonly kind: 'chunks'; readonly size: number; readonly chunks: () => Iterable<Buffer> };

export interface TarEntry {
  /** No leading slash. */
  readonly path: string;
  readonly mode: number;
  readonly content: TarContent;
  /** User and group; root when left out. */
  readonly owner?: number;
}

/** One entry: header, content, padding. @throws RangeError when a path is too long for the format */
export function* tarEntry({ path, mode, content, owner = 0 }: TarEntry): Generator<Buffer, void, undefined> {
  const size = sizeOf(content);
  yield header({ name: content.kind === 'directory' ? `${path}/` : path, mode, size, content, owner });
  if (content.kind === 'bytes') yield content.bytes;
  else if (content.kind === 'chunks') yield* content.chunks();
  else if (content.kind === 'file') yield* fileChunks(content.from, size);
  const rest = size % BLOCK;
  if (rest > 0) yield Buffer.alloc(BLOCK - rest);
}

/** A whole archive, with the directories above each entry (mode 0755) before it, in the order of their names. */
export function* tarArchive(entries: readonly TarEntry[]): Generator<Buffer, void, undefined> {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries)
    for (let at = posix.dirname(path); at !== '.'; at = posix.dirname(at))
      if (!byPath.has(at)) byPath.set(at, { path: at, mode: 0o755, content: { kind: 'directory' } });
  for (const path of [...byPath.keys()].sort()) yield* tarEntry(byPath.get(path)!);
  yield tarEnd;
}

function sizeOf(content: TarContent): number {
  if (content.kind === 'directory') return 0;
  if (content.kind === 'bytes') return content.bytes.length;
  return content.kind === 'file' ? statSync(content.from).size : content.size;
}

/** @throws Error when the file is shorter than it was a moment ago: the archive would be broken */
function* fileChunks(path: string, size: number): Generator<Buffer, void, undefined> {
  const file = openSync(path, 'r');
  try {
    for (let left = size; left > 0;) {
      const chunk = Buffer.allocUnsafe(Math.min(left, READ_BYTES));
      const bytes = readSync(file, chunk);
      if (bytes === 0) throw new Error(`${path} became shorter while it was read`);
      left -= bytes;
      yield chunk.subarray(0, bytes);
    }
  } finally {
    closeSync(file);
  }
}

interface Head {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  readonly content: TarContent;
  readonly owner: number;
}

function header({ name, mode, size, content, owner }: Head): Buffer {
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw new RangeError(`the path ${name} is too long for tar`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void =>
    void block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  block.write(name, 0, 'utf8');
  octal(mode, 100, 8);
  octal(owner, 108, 8);
  octal(owner, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(content.kind === 'directory' ? '5' : '0', 156, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
