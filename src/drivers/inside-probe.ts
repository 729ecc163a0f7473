/** Asks from inside a sandbox what it really has: code that runs there, and what its answer means. */
import { readlinkSync } from 'node:fs';
import { z } from 'zod';
import { nodeFlags } from '../kernel/node-flags.ts';
import type { Isolation, SandboxLimits } from './driver.ts';

/** What probed sandboxes are made with. */
export const probeLimits: SandboxLimits = {
  memoryBytes: 128 * 1024 * 1024,
  cpuMillis: 1_000,
  pids: 32,
  tmpBytes: 1024 * 1024,
  tmpInodes: 64,
};

const namespaces = {
  user: 'user-namespace',
  pid: 'pid-namespace',
  mnt: 'mount-namespace',
  net: 'network-namespace',
  ipc: 'ipc-namespace',
  uts: 'uts-namespace',
  cgroup: 'cgroup-namespace',
} as const satisfies Record<string, Isolation>;
const namespaceNames = Object.keys(namespaces) as (keyof typeof namespaces)[];

const PROBE_HEAP_MB = 64;
/** Those of any sandbox: a Node that does not take them is found out here. */
export const probeFlags = nodeFlags(PROBE_HEAP_MB);

/** Runs inside; the answer goes to descriptor 2, the only one that the host reads. */
export const probeCode = `
const fs = require('fs');
const links = {};
for (const name of ${JSON.stringify(namespaceNames)}) try { links[name] = fs.readlinkSync('/proc/self/ns/' + name); } catch { links[name] = ''; }
const status = Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').split('\\n').map((line) => line.split(':\\t')));
let rootWrite = 'written';
try { fs.writeFileSync('/probe', ''); } catch (error) { rootWrite = error.code; }
const tmp = fs.statfsSync('/tmp');
const release = require('os').release();
fs.writeSync(2, JSON.stringify({ links, status, rootWrite, release, tmpBytes: tmp.blocks * tmp.bsize, tmpInodes: tmp.files }));
`;

const answerSchema = z.object({
  links: z.record(z.enum(namespaceNames), z.string()),
  status: z.record(z.string(), z.string()),
  rootWrite: z.string(),
  /** of the kernel that answers its system calls */
  release: z.string(),
  tmpBytes: z.number(),
  tmpInodes: z.number(),
});
export type ProbeAnswer = z.infer<typeof answerSchema>;

/** @param said what the probe wrote to descriptor 2 @throws Error with what it said when that is no answer */
export function readAnswer(said: string): ProbeAnswer {
  const start = said.indexOf('{');
  if (start === -1) throw new Error(said.trim() || 'the probe said nothing');
  return answerSchema.parse(JSON.parse(said.slice(start)));
}

/** The namespaces that the sandbox shares with this process. */
export function sharedNamespaces({ links }: ProbeAnswer): [Isolation, string][] {
  return namespaceNames
    .filter((name) => links[name] === readlinkSync(`/proc/self/ns/${name}`))
    .map((name) => [namespaces[name], `the sandbox shares the host's ${name} namespace`]);
}

/** What is missing of privileges and of the seccomp filter, by the words of the host's kernel. */
export function privilegeGaps({ status }: ProbeAnswer): [Isolation, string][] {
  const gaps: [Isolation, string][] = [];
  if (status['NoNewPrivs'] !== '1') gaps.push(['no-new-privileges', 'no_new_privs is not set']);
  if (status['Seccomp'] !== '2') gaps.push(['seccomp', 'no seccomp filter is in force']);
  return gaps;
}

/** What is missing of capabilities, root file system and /tmp. */
export function gapsInside({ status, rootWrite, tmpBytes, tmpInodes }: ProbeAnswer): [Isolation, string][] {
  const gaps: [Isolation, string][] = [];
  const unless = (isGiven: boolean, isolation: Isolation, reason: string): void => {
    if (!isGiven) gaps.push([isolation, reason]);
  };
  const hasCapabilities = ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb'].some((name) =>
    /[1-9a-f]/.test(status[name] ?? '0'),
  );
  unless(!hasCapabilities, 'no-capabilities', 'processes in the sandbox have capabilities');
  unless(
    rootWrite === 'EROFS' || rootWrite === 'EACCES',
    'read-only-root',
    'the root file system can be written',
  );
  // 0 is what a file system without a limit of files says (statfs(2)).
  const areFilesBounded = tmpInodes > 0 && tmpInodes <= probeLimits.tmpInodes;
  unless(tmpBytes <= probeLimits.tmpBytes, 'tmp-limit', '/tmp is not bounded in bytes');
  unless(areFilesBounded, 'tmp-limit', '/tmp is not bounded in files');
  return gaps;
}
