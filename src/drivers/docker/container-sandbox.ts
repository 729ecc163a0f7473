/** One sandbox as a container: its streams, its end, its use of resources. */
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { constants as osConstants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../kernel/clock.ts';
import { withDeadline } from '../../kernel/deadline.ts';
import type { SandboxExit, SandboxLimits, SandboxUsage, StackFrame } from '../driver.ts';
import { framesOf, helperArguments, LOCATE_MS, MAX_HELPER_OUTPUT_BYTES } from '../locate/locator.ts';
import { NODE_PATH, RUNTIME_PATH } from '../root/root-entries.ts';
import { GroupFreezer } from '../group-freezer.ts';
import { StderrTail } from '../stderr-tail.ts';
import { AttachedOutput } from './attached-stream.ts';
import { type ContainerBasis, containerName, limitsConfig } from './container-config.ts';
import { isUnreached } from './engine-client.ts';
import type { ContainerState, EngineContainers } from './engine-containers.ts';
import { HostView } from './host-view.ts';
import { relayStdio, type StdioRelay } from './stdio-relay.ts';

const REMOVE_MS = 9_000;
const STDERR_MS = 500;
/** The engine hears of the kernel's kill for memory apart from the exit, now and then after it. */
const OOM_NEWS_MS = 400;
const OOM_LOOK_MS = 40;
const KILLED = 128 + osConstants.signals.SIGKILL;
/** Between two attempts to hear of its end when the engine's connection breaks. */
const RETRY_MS = 250;
const INSPECTOR_PORT = 9229;

export interface ContainerParts {
  readonly basis: ContainerBasis;
  /** As the Engine API wants it (ContainerCreate). */
  readonly config: object;
  /** How long it may take to end by itself when it shall; null: it is killed. */
  readonly graceSeconds: number | null;
}

export class ContainerSandbox {
  readonly #containers: EngineContainers;
  readonly #parts: ContainerParts;
  readonly #plan: ContainerBasis;
  readonly #name: string;
  #stderr: StderrTail | null = null;
  #relay: StdioRelay | null = null;
  /** Its streams, as the engine opened them. */
  readonly #streams: Socket[] = [];
  #view: HostView | null = null;
  #freezer: GroupFreezer | null = null;
  #isKilled = false;
  /** The engine was away when it should be made: that it comes back is not waited for. */
  #isNowhere = false;

  constructor(containers: EngineContainers, parts: ContainerParts) {
    this.#containers = containers;
    this.#parts = parts;
    this.#plan = parts.basis;
    this.#name = containerName(parts.basis.spec.id);
  }

  get view(): HostView | null {
    return this.#view;
  }

  get stderrText(): string {
    return this.#stderr?.text ?? '';
  }

  /** Resolves when its first process runs with every limit in force. Its streams are read before it starts. */
  async start(): Promise<void> {
    const { way, hasOwnKernel, spec } = this.#plan;
    const id = await this.#containers.create(this.#name, this.#parts.config).catch((error: unknown) => {
      // Else there may be one, also without an answer.
      this.#isNowhere = isUnreached(error);
      throw error;
    });
    this.#stderr = new StderrTail(unframed(await this.#attach(['stderr'])));
    const attached = way === 'stdio' ? await this.#attach(['stdin', 'stdout']) : null;
    await this.#containers.start(this.#name);
    const state = await this.#containers.inspect(this.#name);
    if (state !== null) this.#view = HostView.of({ id, pid: state.Pid, hasOwnKernel });
    if (this.#view !== null && !hasOwnKernel) this.#freezer = new GroupFreezer(this.#view.group);
    if (attached !== null) this.#relay = await relayStdio(attached, join(spec.channelDir, 'channel.sock'));
  }

  /** Waits until it has ended, then removes it. @throws Error when it cannot be removed */
  async ended(): Promise<SandboxExit> {
    const state = await this.#withOomNews(await this.#stopped());
    await this.#stderr?.finish(STDERR_MS);
    await this.remove();
    return {
      id: this.#plan.spec.id,
      ...asNodeTellsIt(state?.ExitCode ?? null),
      outOfMemory: state?.OOMKilled === true || this.#stderr?.sawHeapExhausted === true,
      stderrTail: this.stderrText,
    };
  }

  /** Idempotent. */
  async kill(): Promise<void> {
    this.#isKilled = true;
    const { graceSeconds } = this.#parts;
    if (graceSeconds === null) await this.#containers.kill(this.#name, 'SIGKILL');
    else await this.#containers.stop(this.#name, graceSeconds);
    this.#freezer?.letDie();
  }

  /**
   * By the group itself, for which runc is prepared: the engine's own pause takes 15 ms. Not where the runtime has a kernel of its
   * own: it answers nothing while it is frozen, and an engine that is started meanwhile waits for it for ever (ADR 8).
   */
  async freeze(): Promise<void> {
    await this.#freezer?.freeze();
  }

  async thaw(): Promise<void> {
    await this.#freezer?.thaw();
  }

  /** Kills it if it runs. Idempotent; also when it was never made. */
  async remove(): Promise<void> {
    if (this.#isNowhere) return;
    await this.#containers.remove(this.#name, REMOVE_MS);
    this.#freezer?.close();
    this.#relay?.close();
    for (const stream of this.#streams) stream.destroy();
  }

  /** @throws Error when the runtime cannot change the limits of what runs, and the host does not show its groups */
  async setLimits(limits: SandboxLimits): Promise<void> {
    const { hasOwnKernel } = this.#plan;
    if (this.#view !== null && hasOwnKernel) await this.#view.setLimits(limits);
    else await this.#containers.update(this.#name, limitsConfig(limits, { hasOwnKernel }));
  }

  async usage(): Promise<SandboxUsage | null> {
    return await (this.#view === null ? this.#containers.usage(this.#name) : this.#view.usage());
  }

  /** The helper runs inside, beside the loop, under the same limits. [] when it cannot, or not in time */
  async locate(): Promise<readonly StackFrame[]> {
    if (!(await this.#containers.kill(this.#name, 'SIGUSR1'))) return [];
    const command = [NODE_PATH, ...helperArguments(INSPECTOR_PORT, RUNTIME_PATH)];
    const socket = await this.#containers.exec(this.#name, command);
    const output = await withDeadline(systemClock, LOCATE_MS, textOf(socket)).finally(() => socket.destroy());
    return framesOf(output, RUNTIME_PATH);
  }

  async #attach(streams: Parameters<EngineContainers['attach']>[1]): Promise<Socket> {
    const socket = await this.#containers.attach(this.#name, streams);
    this.#streams.push(socket);
    return socket;
  }

  /** A kill that was not ours may have been one for memory. */
  async #withOomNews(state: ContainerState | null): Promise<ContainerState | null> {
    const end = performance.now() + OOM_NEWS_MS;
    let present = state;
    while (present?.ExitCode === KILLED && !present.OOMKilled && !this.#isKilled && performance.now() < end) {
      await sleep(OOM_LOOK_MS);
      present = await this.#containers.inspect(this.#name);
    }
    return present ?? state;
  }

  /** The engine may be restarted meanwhile: it is asked again. @returns null when it is gone without a trace */
  async #stopped(): Promise<ContainerState | null> {
    for (;;) {
      try {
        await this.#containers.wait(this.#name);
        const state = await this.#containers.inspect(this.#name);
        if (state?.Running !== true) return state;
      } catch {
        // No word is no exit: what does not answer is asked again, and `destroy` has its own deadline.
      }
      await sleep(RETRY_MS);
    }
  }
}

function unframed(socket: Socket): AttachedOutput {
  const output = new AttachedOutput();
  // Its end, in whatever way, is the end of what can be read; it may have come already.
  if (socket.destroyed) output.end();
  socket.once('close', () => output.end());
  output.once('close', () => socket.destroy());
  return socket.pipe(output);
}

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of unframed(socket)) {
    text += String(chunk);
    if (text.length > MAX_HELPER_OUTPUT_BYTES) break;
  }
  return text;
}

/** The engine's init tells a death by signal as 128 + signal, as a shell does; Node users know it as a signal. */
function asNodeTellsIt(exitCode: number | null): { code: number | null; signal: string | null } {
  if (exitCode === null) return { code: null, signal: 'SIGKILL' };
  if (exitCode <= 128) return { code: exitCode, signal: null };
  const name = Object.entries(osConstants.signals).find(([, number]) => number === exitCode - 128)?.[0];
  return name === undefined ? { code: exitCode, signal: null } : { code: null, signal: name };
}
