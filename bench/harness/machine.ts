/** Facts without which a figure means nothing: machine, versions, commit. No names of hosts, no paths. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statfsSync } from 'node:fs';
import os from 'node:os';
import { projectRoot } from '../../test/support/platform.ts';
import { peerVersions } from './peers.ts';
import { wrkVersion } from './wrk.ts';

const CGROUP2_MAGIC = 0x63677270;

export interface Facts {
  readonly commit: string;
  /** Files differ from the commit. */
  readonly isModified: boolean;
  readonly at: string;
  readonly machine: Record<string, string | number>;
  readonly versions: Record<string, string>;
}

export function readFacts(): Facts {
  const cpus = os.cpus();
  return {
    commit: git('rev-parse', 'HEAD'),
    isModified: git('status', '--porcelain', '--untracked-files=no') !== '',
    at: new Date().toISOString(),
    machine: {
      cpu: cpus[0]?.model ?? 'unknown',
      cores: cpus.length,
      memoryMb: Math.round(os.totalmem() / 2 ** 20),
      kernel: os.release(),
      system: /^PRETTY_NAME="(.*)"/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? os.type(),
      cgroup: statfsSync('/sys/fs/cgroup').type === CGROUP2_MAGIC ? 'v2' : 'v1',
      loadBefore: os.loadavg()[0]!,
    },
    versions: {
      node: process.version,
      ...peerVersions(),
      wrk: wrkVersion() ?? 'missing',
      bwrap: execFileSync('bwrap', ['--version'], { encoding: 'utf8' }).trim(),
    },
  };
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: projectRoot, encoding: 'utf8' }).trim();
}
