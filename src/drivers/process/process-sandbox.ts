/** One sandbox of the driver `process`: a process group with a temporary directory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { SandboxExit, SandboxSpec, SandboxUsage, StackFrame } from '../driver.ts';
import type { SandboxId } from '../../contracts/ids.ts';
import { nodeFlags } from '../../kernel/node-flags.ts';
import { locateFrames } from '../locate/locator.ts';
import {
  identityOf,
  isAlive,
  type ProcessIdentity,
  mainThreadUsage,
  readStat,
  signalPid,
  signalProcess,
} from '../process-identity.ts';
import { StderrTail } from '../stderr-tail.ts';
import type { ProcessOptions } from './process-options.ts';

const STDERR_MS = 500;
const MICROS_PER_TICK = 10_000;
const PAGE_BYTES = 4096;
const INSPECTOR_WAIT_MS = 500;
const POLL_MS = 10;

/** Resolves when the process runs. The environment holds nothing of the platform's but PATH. */
export async function startProcess(
  options: ProcessOptions,
  spec: SandboxSpec,
  tmpDir: string,
): Promise<ProcessSandbox> {
  const flags = [...nodeFlags(spec.heapMb), '--inspect-port=127.0.0.1:0'];
  const socket = join(spec.channelDir, 'channel.sock');
  const child = spawn(options.nodePath, [...flags, options.runtimeFile, socket], {
    cwd: tmpDir,
    env: { HOME: tmpDir, TMPDIR: tmpDir, LANG: 'C.UTF-8', PATH: process.env['PATH'] ?? '', TZ: 'UTC' },
    // A group of its own, so that its children can be killed with it.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  return new ProcessSandbox(spec.id, child);
}

export class ProcessSandbox {
  readonly #id: SandboxId;
  readonly #pid: number;
  readonly #stderr: StderrTail;
  readonly #exited: Promise<{ code: number | null; signal: string | null }>;
  readonly identity: ProcessIdentity | null;

  constructor(id: SandboxId, child: ChildProcess) {
    this.#id = id;
    this.#pid = child.pid!;
    this.identity = identityOf(this.#pid);
    this.#stderr = new StderrTail(child.stderr!);
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  get stderrText(): string {
    return this.#stderr.text;
  }

  async ended(): Promise<SandboxExit> {
    const exit = await this.#exited;
    this.kill();
    await this.#stderr.finish(STDERR_MS);
    const outOfMemory = this.#stderr.sawHeapExhausted;
    return { id: this.#id, ...exit, outOfMemory, stderrTail: this.#stderr.text };
  }

  /** The process and what it started in the same process group; what left the group is not found. */
  kill(): void {
    signalPid(-this.#pid, 'SIGKILL');
  }

  usage(): SandboxUsage | null {
    const stat = readStat(this.#pid);
    if (stat === null) return null;
    return {
      cpuMicros: stat.cpuTicks * MICROS_PER_TICK,
      memoryBytes: stat.residentPages * PAGE_BYTES,
      pids: 1,
      ...mainThreadUsage(this.#pid),
    };
  }

  async locate({ nodePath, runtimeFile }: ProcessOptions): Promise<readonly StackFrame[]> {
    if (this.identity === null || !signalProcess(this.identity, 'SIGUSR1')) return [];
    const port = await this.#inspectorPort();
    if (port === null) return [];
    return await locateFrames({ command: [nodePath], port, env: {}, uid: null, runtimeFile });
  }

  /** Node says on descriptor 2 where its inspector listens. */
  async #inspectorPort(): Promise<number | null> {
    const end = performance.now() + INSPECTOR_WAIT_MS;
    while (performance.now() < end && this.identity !== null && isAlive(this.identity)) {
      const port = [...this.#stderr.text.matchAll(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)\//g)].at(
        -1,
      )?.[1];
      if (port !== undefined) return Number(port);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return null;
  }
}
