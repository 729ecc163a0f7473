/** The closed set of shared libraries that a program is started with, as ld.so(8) would find them. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Architecture } from '../seccomp/seccomp-compiler.ts';
import { readElfNeeds } from './elf.ts';

const triples: Readonly<Record<Architecture, string>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
};
/** Loaded by the C library itself when names are looked up; built in since glibc 2.34. */
const loadedLate = ['libnss_files.so.2'];
const MAX_LIBRARIES = 64;

/**
 * @returns paths at which the interpreter and the libraries must stand in the sandbox, `null` interpreter for static programs
 * @throws RangeError when one is not found
 */
export function librariesOf(program: string, architecture: Architecture): string[] {
  const needs = readElfNeeds(program);
  if (needs.interpreter === null) return [];
  const triple = triples[architecture];
  const directories = [`/lib/${triple}`, `/usr/lib/${triple}`, '/lib64', '/usr/lib64', '/lib', '/usr/lib'];
  const found = new Map<string, string>();
  const waiting = needs.libraries.map((name) => ({ name, wantedBy: program, runPath: needs.runPath }));
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (found.has(next.name)) continue;
    if (found.size > MAX_LIBRARIES)
      throw new RangeError(`${program} needs more than ${MAX_LIBRARIES} libraries`);
    const own = next.runPath.map((path) => path.replace('$ORIGIN', dirname(next.wantedBy)));
    const path = find(next.name, [...own, ...directories]);
    if (path === null) throw new RangeError(`${next.wantedBy} needs ${next.name}, which is not on this host`);
    found.set(next.name, path);
    const { libraries, runPath } = readElfNeeds(path);
    waiting.push(...libraries.map((name) => ({ name, wantedBy: path, runPath })));
  }
  const late = loadedLate.map((name) => find(name, directories)).filter((path) => path !== null);
  return [...new Set([needs.interpreter, ...found.values(), ...late])];
}

function find(name: string, directories: readonly string[]): string | null {
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path)) ?? null;
}
