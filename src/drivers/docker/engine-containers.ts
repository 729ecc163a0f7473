/** The calls about containers that a sandbox needs, each with what may go wrong and is no error. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { SandboxUsage, ThreadState } from '../driver.ts';
import { type EngineClient, EngineError, isNotFound, isStateConflict } from './engine-client.ts';

const REMOVE_POLL_MS = 10;
const EXEC_MS = 5_000;
/** Who waits for an end asks again after this time, so that no lost answer is waited for. */
const WAIT_MS = 600_000;

const createdSchema = z.object({ Id: z.string().regex(/^[0-9a-f]{12,128}$/) });
const stateSchema = z.object({
  State: z.object({
    Running: z.boolean(),
    OOMKilled: z.boolean(),
    Pid: z.int(),
    ExitCode: z.int(),
  }),
});
export type ContainerState = z.infer<typeof stateSchema>['State'];

const listSchema = z.array(z.object({ Id: z.string(), Labels: z.record(z.string(), z.string()) }));
export type ListedContainer = z.infer<typeof listSchema>[number];

const statsSchema = z.object({
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: z.number() }) }),
  memory_stats: z.object({ usage: z.number().optional() }),
  pids_stats: z.object({ current: z.number().optional() }),
});
const topSchema = z.object({ Titles: z.array(z.string()), Processes: z.array(z.array(z.string())) });

export class EngineContainers {
  readonly #engine: EngineClient;

  constructor(engine: EngineClient) {
    this.#engine = engine;
  }

  /** @returns the container's id */
  async create(name: string, config: object): Promise<string> {
    const answer = await this.#engine.call({
      method: 'POST',
      path: '/containers/create',
      query: { name },
      json: config,
    });
    return createdSchema.parse(answer).Id;
  }

  async start(name: string): Promise<void> {
    await this.#engine.call({ method: 'POST', path: `/containers/${name}/start` });
  }

  /** Frames in front of each piece of output: see `AttachedOutput`. Input is as it is. */
  attach(name: string, streams: readonly ('stdin' | 'stdout' | 'stderr')[]): Promise<Socket> {
    const query = { stream: '1', ...Object.fromEntries(streams.map((stream) => [stream, '1'])) };
    return this.#engine.hijack({ method: 'POST', path: `/containers/${name}/attach`, query });
  }

  /** Resolves when it does not run any more, or is not there. @throws EngineError when that is not known: the connection broke, or WAIT_MS have passed */
  async wait(name: string): Promise<void> {
    const path = `/containers/${name}/wait`;
    await this.#engine
      .call({ method: 'POST', path, isLong: true, deadlineMs: WAIT_MS })
      .catch(ignore(isNotFound));
  }

  /** @returns null when there is no such container */
  async inspect(name: string): Promise<ContainerState | null> {
    const answer = await this.#engine
      .call({ method: 'GET', path: `/containers/${name}/json` })
      .catch(ignore(isNotFound));
    return answer === null ? null : stateSchema.parse(answer).State;
  }

  /** To its first process. @returns false when it does not run */
  async kill(name: string, signal: 'SIGKILL' | 'SIGUSR1'): Promise<boolean> {
    try {
      await this.#engine.call({ method: 'POST', path: `/containers/${name}/kill`, query: { signal } });
      return true;
    } catch (error) {
      if (isNotFound(error) || isStateConflict(error)) return false;
      throw error;
    }
  }

  /** Asks it to end, kills it after `graceSeconds`; resolves when it does not run any more. Idempotent. */
  async stop(name: string, graceSeconds: number): Promise<void> {
    const query = { t: String(graceSeconds) };
    await this.#engine
      .call({ method: 'POST', path: `/containers/${name}/stop`, query, isLong: true })
      .catch(ignore((error) => isNotFound(error) || isStateConflict(error)));
  }

  async update(name: string, limits: object): Promise<void> {
    await this.#engine.call({ method: 'POST', path: `/containers/${name}/update`, json: limits });
  }

  /** Kills and removes it with its volumes; resolves when it is gone. Idempotent. @throws Error after `deadlineMs` */
  async remove(name: string, deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      try {
        const query = { force: 'true', v: 'true' };
        const path = `/containers/${name}`;
        await this.#engine.call({ method: 'DELETE', path, query, deadlineMs });
        return;
      } catch (error) {
        if (isNotFound(error)) return;
        // Somebody else, or an earlier call, removes it already.
        if (!isStateConflict(error) || performance.now() > end) throw error;
      }
      await sleep(REMOVE_POLL_MS);
    }
  }

  /** Of all states. */
  async list(label: string): Promise<readonly ListedContainer[]> {
    const query = { all: 'true', filters: JSON.stringify({ label: [label] }) };
    return listSchema.parse(await this.#engine.call({ method: 'GET', path: '/containers/json', query }));
  }

  /** As the engine counts it: for hosts that do not show its processes. @returns null when it does not run */
  async usage(name: string): Promise<SandboxUsage | null> {
    const query = { stream: 'false', 'one-shot': 'true' };
    const answer = await this.#engine
      .call({ method: 'GET', path: `/containers/${name}/stats`, query })
      .catch(ignore((error) => isNotFound(error) || isStateConflict(error)));
    if (answer === null) return null;
    const { cpu_stats: cpu, memory_stats: memory, pids_stats: pids } = statsSchema.parse(answer);
    if (memory.usage === undefined) return null;
    return {
      cpuMicros: Math.round(cpu.cpu_usage.total_usage / 1_000),
      memoryBytes: memory.usage,
      pids: pids.current ?? 0,
      mainThread: await this.#mainThread(name),
      mainThreadMicros: null,
      starvedMicros: 0,
    };
  }

  /** Runs a command inside, as its user. @returns what it wrote to descriptors 1 and 2, framed: see `AttachedOutput` */
  async exec(name: string, command: readonly string[]): Promise<Socket> {
    const answer = await this.#engine.call({
      method: 'POST',
      path: `/containers/${name}/exec`,
      json: { Cmd: command, AttachStdout: true, AttachStderr: false },
      deadlineMs: EXEC_MS,
    });
    const { Id } = createdSchema.parse(answer);
    return this.#engine.hijack({
      method: 'POST',
      path: `/exec/${Id}/start`,
      json: { Detach: false, Tty: false },
      deadlineMs: EXEC_MS,
    });
  }

  /** The engine runs `ps` on its host: the child of the first process is Node. */
  async #mainThread(name: string): Promise<ThreadState> {
    const answer = await this.#engine
      .call({ method: 'GET', path: `/containers/${name}/top`, query: { ps_args: '-o pid,ppid,stat' } })
      .catch(ignore((error) => error instanceof EngineError));
    const parsed = topSchema.safeParse(answer);
    if (!parsed.success) return 'gone';
    const { Titles, Processes } = parsed.data;
    const column = Titles.indexOf('STAT');
    const state = (Processes[1] ?? Processes[0])?.[column]?.[0];
    if (state === 'R') return 'running';
    if (state === 'T' || state === 't') return 'stopped';
    return state === undefined || state === 'Z' ? 'gone' : 'sleeping';
  }
}

function ignore(isExpected: (error: unknown) => boolean): (error: unknown) => null {
  return (error) => {
    if (isExpected(error)) return null;
    throw error;
  };
}
