import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

const gate = readFileSync(join(import.meta.dirname, 'gate.sh'), 'utf8');
const NOT_MOVED = 121;
const PLATFORM_DIED = 125;
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-gate-'));
  file = join(folder, 'tasks');
  writeFileSync(file, '');
});

afterEach(() => rmSync(folder, { recursive: true }));

/** Comes to the gate with `file` as its only door. Descriptor 3 is at its end at once. */
function enter(flags: string): number | null {
  const door = openSync(file, flags);
  const { status } = spawnSync('/bin/sh', ['-c', gate, 'berth-gate', '5', 'exit'], {
    stdio: ['ignore', 'ignore', 'ignore', 'ignore', 'ignore', door],
  });
  closeSync(door);
  return status;
}

test('a process moves itself before it waits', () => {
  expect(enter('r+')).toBe(PLATFORM_DIED);
  expect(readFileSync(file, 'utf8')).toBe('0\n');
});

test('one that is not let into its control groups comes no further', () => {
  expect(enter('r')).toBe(NOT_MOVED);
});
