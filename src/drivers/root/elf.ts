/** Which shared libraries a program needs, read from its ELF file (elf(5)): the host may have no `ldd`. 64-bit little-endian only. */
import { closeSync, openSync, readSync } from 'node:fs';

export interface ElfNeeds {
  /** The program interpreter (ld.so), null for libraries. */
  readonly interpreter: string | null;
  /** Names such as `libc.so.6`. */
  readonly libraries: readonly string[];
  /** Own search path, `$ORIGIN` not replaced. */
  readonly runPath: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DT_RPATH = 15n;
const DT_RUNPATH = 29n;
/** A string in a dynamic string table is shorter, or the file is not one that we start. */
const MAX_NAME_BYTES = 4096;
const MAX_TABLE_BYTES = 1024 * 1024;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly size: number;
}

/** @throws RangeError when the file is not such an ELF file */
export function readElfNeeds(path: string): ElfNeeds {
  const file = openSync(path, 'r');
  const read = (offset: number, length: number): Buffer => {
    if (length < 0 || length > MAX_TABLE_BYTES)
      throw new RangeError(`${path} has an ELF table that is too long`);
    const bytes = Buffer.alloc(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
  };
  try {
    return parse(path, read);
  } finally {
    closeSync(file);
  }
}

function parse(path: string, read: (offset: number, length: number) => Buffer): ElfNeeds {
  const segments = readSegments(path, read);
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  const entries = dynamic === undefined ? [] : readDynamic(read(dynamic.offset, dynamic.size));
  const strings = fileOffset(segments, entries.find(([tag]) => tag === DT_STRTAB)?.[1] ?? 0n);
  const names = (...tags: bigint[]): string[] =>
    entries
      .filter(([tag]) => tags.includes(tag))
      .map(([, at]) => textAt(read(strings + Number(at), MAX_NAME_BYTES)));
  return {
    interpreter: interpreter === undefined ? null : textAt(read(interpreter.offset, interpreter.size)),
    libraries: names(DT_NEEDED),
    runPath: names(DT_RUNPATH, DT_RPATH).flatMap((list) => list.split(':')),
  };
}

function readSegments(path: string, read: (offset: number, length: number) => Buffer): Segment[] {
  const header = read(0, 64);
  const isElf64 =
    header.length === 64 && header.readUInt32BE(0) === 0x7f45_4c46 && header[4] === 2 && header[5] === 1;
  if (!isElf64) throw new RangeError(`${path} is not a 64-bit little-endian ELF file`);
  const start = Number(header.readBigUInt64LE(32));
  const entrySize = header.readUInt16LE(54);
  const table = read(start, entrySize * header.readUInt16LE(56));
  const segments: Segment[] = [];
  for (let at = 0; at + 56 <= table.length; at += entrySize) {
    segments.push({
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: table.readBigUInt64LE(at + 16),
      size: Number(table.readBigUInt64LE(at + 32)),
    });
  }
  return segments;
}

function readDynamic(table: Buffer): [bigint, bigint][] {
  const entries: [bigint, bigint][] = [];
  for (let at = 0; at + 16 <= table.length; at += 16) {
    entries.push([table.readBigUInt64LE(at), table.readBigUInt64LE(at + 8)]);
  }
  return entries;
}

function fileOffset(segments: readonly Segment[], address: bigint): number {
  const segment = segments.find(
    ({ type, address: start, size }) =>
      type === PT_LOAD && address >= start && address < start + BigInt(size),
  );
  return segment === undefined ? 0 : segment.offset + Number(address - segment.address);
}

function textAt(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
}
