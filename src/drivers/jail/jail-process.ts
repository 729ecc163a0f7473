/** Starts the chain of processes of one jail: prlimit, setpriv, gate.sh, unshare, enter.sh, bwrap, Node. All but Node keep one pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { z } from 'zod';
import type { SandboxId } from '../../contracts/ids.ts';
import type { SandboxCgroup } from '../cgroups/cgroup.ts';
import { NODE_PATH } from '../root/root-entries.ts';
import { INFO_FD } from './bwrap-arguments.ts';
import { TOOLS_PATH } from './jail-options.ts';
import type { LaunchFiles } from './launch-files.ts';
import { type Mounts, openMountTable } from './mount-table.ts';
import { coverStrays } from '../stray-descriptors.ts';

/** Of each process in the sandbox (man 2 getrlimit). A core limit of one byte also keeps a core handler from being called, see core(5). */
const beforeGate = [
  '--core=1',
  '--nofile=4096',
  '--memlock=65536',
  '--msgqueue=0',
  '--sigpending=1024',
  // Ends with the thread of the platform that started it (PR_SET_PDEATHSIG, man 2 prctl).
  'setpriv',
  '--pdeathsig',
  'KILL',
  '/bin/sh',
  '-c',
];

/** The shell of the gate knows numbers of one digit only: five hierarchies at most, and there are five that we use. */
const FIRST_DOOR_FD = INFO_FD + 1;

const infoSchema = z.object({ 'child-pid': z.int().min(2) });
const MAX_INFO_BYTES = 4096;

export interface JailCommand extends Mounts {
  readonly id: SandboxId;
  readonly rootDir: string;
  readonly runDir: string;
  readonly launch: LaunchFiles;
  /** It moves there itself where it can. */
  readonly cgroup: SandboxCgroup | null;
  /** null: as the platform's own user */
  readonly uid: number | null;
  /** Flags of Node, then what it runs. */
  readonly nodeArguments: readonly string[];
}

export interface JailProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly stderr: Readable;
  /** It moves into its control groups before it comes to the gate; else they must be given it. */
  readonly movesItself: boolean;
  /** Lets it pass the gate: it is in its control groups now. */
  open(): void;
  /** Host pid of the first process in the pid namespace. Rejects when the process ends before. */
  readonly firstPid: Promise<number>;
}

/** @throws Error when the process cannot be started at all */
export async function startJail(command: JailCommand): Promise<JailProcess> {
  const table = openMountTable(command.runDir, command.id, command);
  let doors: readonly FileHandle[] = [];
  try {
    doors = (await command.cgroup?.openDoors()) ?? [];
    return await spawnChain(
      command,
      table,
      doors.map(({ fd }) => fd),
    );
  } finally {
    closeSync(table);
    await Promise.all(doors.map((door) => door.close()));
  }
}

async function spawnChain(
  command: JailCommand,
  table: number,
  doors: readonly number[],
): Promise<JailProcess> {
  const { gateScript, enterScript, launchDir } = command.launch;
  const own = command.uid === null ? {} : { uid: command.uid, gid: command.uid };
  const child = spawn(
    'prlimit',
    [
      ...beforeGate,
      gateScript,
      'berth-gate',
      doors.map((_, index) => FIRST_DOOR_FD + index).join(' '),
      enterScript,
      launchDir,
      NODE_PATH,
      ...command.nodeArguments,
    ],
    {
      ...own,
      cwd: command.rootDir,
      env: { PATH: TOOLS_PATH },
      stdio: coverStrays([table, 'ignore', 'pipe', 'pipe', 'pipe', ...doors]),
    },
  );
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const gate = child.stdio[3] as Writable;
  // The other end closes when the process dies early; its exit tells that already.
  gate.on('error', () => undefined);
  const firstPid = readFirstPid(child.stdio[INFO_FD] as Readable);
  firstPid.catch(() => undefined);
  return {
    child,
    pid: child.pid!,
    stderr: child.stderr!,
    movesItself: doors.length > 0,
    open: () => void gate.end('\n'),
    firstPid,
  };
}

/** Reads what bubblewrap writes to its info descriptor. @throws Error when that is not its JSON, or it closes before */
export function readFirstPid(info: Readable): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    info.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.length > MAX_INFO_BYTES) info.destroy();
      else if (text.trimEnd().endsWith('}')) {
        // A throw in a listener would end the platform.
        try {
          resolve(infoSchema.parse(JSON.parse(text))['child-pid']);
        } catch (error) {
          reject(error);
        }
        info.destroy();
      }
    });
    info.once('error', reject);
    info.once('close', () => reject(new Error('the jail ended before it was set up')));
  });
}
