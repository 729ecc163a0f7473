/** Starts the real platform as its users do, as a process of its own, and speaks to it over HTTP only. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { request as httpRequest, type ClientRequest } from 'node:http';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { existsSync } from 'node:fs';
import {
  childOf,
  containerProcesses,
  instanceCgroups,
  instanceContainers,
  instanceMounts,
  instanceOf,
  isRunning,
  runDirOf,
  sandboxProcesses,
  sandboxTraces,
  serverOf,
} from './host.ts';
import { driverEnvironment, requireTestDriver } from './test-driver.ts';

export const projectRoot = new URL('../..', import.meta.url).pathname;

export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly [fact: string]: unknown;
}

export interface LogLine {
  readonly at: number;
  readonly source: string;
  readonly level: string;
  readonly text: string;
  readonly function: string;
}

export interface DeployOptions {
  readonly filename?: string;
  readonly form?: string;
  readonly moduleKind?: string;
  readonly access?: 'public' | 'token';
  readonly secrets?: Record<string, string>;
  readonly env?: Record<string, string>;
  readonly sourceMap?: string;
}

/** As `npm start` has it (scripts/start.mjs). */
const COMPILE_CACHE = join(projectRoot, 'node_modules/.cache/berth');
/** Below the ports that the kernel gives away (ip_local_port_range begins at 32768): none is taken between our look and the platform's. */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
/** The first start with an engine makes the images of the sandboxes. */
const READY_MS = 120_000;

/** A port on which nothing listens, for a platform that keeps it over restarts. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + randomInt(PORTS);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Repeats `check` until it does not throw, or throws its last error after `deadlineMs`. */
export async function eventually<T>(
  check: () => Promise<T> | T,
  deadlineMs = 15_000,
  everyMs = 50,
): Promise<T> {
  const until = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until) throw error;
      await delay(everyMs);
    }
  }
}

/** Deployed code for `hold`: answers when the whole body has come. */
export const answersAtEnd =
  'module.exports = (req, res) => { req.resume().on("end", () => res.end(JSON.stringify({ done: true }))); };';

/** One call that lasts as long as its test wants it to. */
export class HeldCall {
  readonly #request: ClientRequest;
  readonly #answer: Promise<{ status: number; text: string }>;

  constructor(url: string) {
    this.#request = httpRequest(url, { method: 'POST', agent: false });
    this.#answer = new Promise((resolve, reject) => {
      this.#request.once('error', reject).once('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.once('error', reject).once('end', () => resolve({ status: response.statusCode!, text }));
      });
    });
    // Who never finishes it, as a test that fails before, is not told here of its end.
    this.#answer.catch(() => undefined);
    this.#request.write('x');
  }

  /** Ends the body. @returns what the function answered */
  finish(): Promise<{ status: number; text: string }> {
    this.#request.end();
    return this.#answer;
  }
}

function expectGone(pid: number): void {
  if (isRunning(pid)) throw new Error(`the server ${pid} does not end`);
}

export interface StartOptions {
  /** Exists; stays when the platform is stopped. */
  readonly dataDir?: string;
  /** What is run, as `npm start` runs `scripts/start.mjs`; left out: the supervisor itself. */
  readonly program?: string;
}

const SUPERVISOR = 'src/supervisor/main.ts';

export class TestPlatform {
  readonly url: string;
  readonly dataDir: string;
  readonly #env: Record<string, string>;
  #child: ChildProcess | null = null;
  #output = '';
  token = '';

  readonly #program: string;

  private constructor(
    port: number,
    dataDir: string,
    options: { env: Record<string, string>; program: string },
  ) {
    this.url = `http://127.0.0.1:${port}`;
    this.dataDir = dataDir;
    this.#env = { ...options.env, PORT: String(port), BERTH_DATA_DIR: dataDir };
    this.#program = options.program;
  }

  /** Starts a platform, on an empty data folder unless one is given, and waits until it is ready. */
  static async start(env: Record<string, string> = {}, options: StartOptions = {}): Promise<TestPlatform> {
    await requireTestDriver();
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'berth-test-')));
    const platform = new TestPlatform(await freePort(), dataDir, {
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...driverEnvironment(), ...env },
      program: options.program ?? SUPERVISOR,
    });
    await platform.restart();
    return platform;
  }

  /** The server: gateway, API and store. */
  get pid(): number {
    const pid = serverOf(this.supervisorPid);
    if (pid === null) throw new Error(`there is no server: ${this.#output}`);
    return pid;
  }

  /** It makes sandboxes and keeps the server running. */
  get supervisorPid(): number {
    const started = this.#child!.pid!;
    return this.#program === SUPERVISOR ? started : (childOf(started, SUPERVISOR) ?? started);
  }

  /** Everything that the platform printed. */
  get output(): string {
    return this.#output;
  }

  /** Live sandboxes as the host shows them: their pids by cgroup. */
  sandboxes(): Map<string, number[]> {
    const isDocker = this.#env['BERTH_DRIVER'] === 'docker';
    return isDocker ? containerProcesses(this.dataDir) : sandboxProcesses(instanceOf(this.dataDir));
  }

  /** Sandboxes that left anything on the host: files, sockets, cgroups, mounts. */
  traces(): Set<string> {
    return sandboxTraces(this.dataDir);
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** What is left of the platform on the host; empty once it has stopped. */
  async leftovers(): Promise<string[]> {
    const instance = instanceOf(this.dataDir);
    const pids = [...sandboxProcesses(instance).values()].flat().map((pid) => `process ${pid}`);
    const runDir = runDirOf(this.dataDir);
    const engineHost = this.#env['BERTH_DOCKER_HOST'];
    return [
      ...(engineHost === undefined ? [] : await instanceContainers(this.dataDir, engineHost)),
      ...pids,
      ...instanceCgroups(instance),
      ...instanceMounts(this.dataDir),
      ...(existsSync(runDir) ? [runDir] : []),
    ];
  }

  async restart(env: Record<string, string> = {}): Promise<void> {
    const child = spawn(process.execPath, [this.#program], {
      cwd: projectRoot,
      env: { PATH: process.env['PATH'] ?? '', HOME: this.dataDir, ...this.#env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.on(
        'data',
        (chunk: Buffer) => (this.#output = (this.#output + chunk.toString()).slice(-200_000)),
      );
    await eventually(async () => {
      if (child.exitCode !== null) return;
      const response = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(2_000) });
      if (!response.ok) throw new Error(`not ready: ${await response.text()}`);
    }, READY_MS).catch((error: unknown) => {
      throw new Error(`the platform did not get ready: ${String(error)}\n${this.#output}`, { cause: error });
    });
    if (child.exitCode !== null) throw new Error(`the platform ended: ${this.#output}`);
    this.token = (await readFile(join(this.dataDir, 'admin-token'), 'utf8')).trim();
  }

  /** Ends the platform by a signal to its supervisor and waits until both processes are gone. @returns the exit code */
  async end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | null> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null)
      return child?.exitCode ?? null;
    const server = serverOf(this.supervisorPid);
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const code = await gone;
    // A supervisor that is killed leaves its server a moment to say so.
    if (server !== null) await eventually(() => expectGone(server), 30_000);
    return code;
  }

  /** @throws when anything is left on the host */
  async stop(): Promise<void> {
    await this.end('SIGTERM');
    const left = await this.leftovers();
    if (left.length > 0) throw new Error(`left over: ${left.join(', ')}`);
    await rm(this.dataDir, { recursive: true, force: true });
  }

  async api<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    token: string | null = this.token,
  ): Promise<{ status: number; body: T }> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: (text === ''
        ? null
        : (response.headers.get('content-type') ?? '').includes('json')
          ? JSON.parse(text)
          : text) as T,
    };
  }

  /** As `api`, but anything but a 2xx is an error. */
  async must<T = unknown>(method: string, path: string, body?: unknown): Promise<T> {
    const result = await this.api<T>(method, path, body);
    if (result.status >= 300)
      throw new Error(`${method} ${path}: ${result.status} ${JSON.stringify(result.body)}`);
    return result.body;
  }

  async createTenant(id: string, limits: Record<string, number> = {}): Promise<void> {
    await this.must('POST', '/v1/tenants', { id, limits });
  }

  async deploy(
    tenant: string,
    fn: string,
    source: string,
    options: DeployOptions = {},
  ): Promise<{ revision: { id: string; form: string; number: number } }> {
    return this.must('PUT', `/v1/tenants/${tenant}/functions/${fn}`, { source, ...options });
  }

  async call(tenant: string, fn: string, init: RequestInit & { path?: string } = {}): Promise<Response> {
    return fetch(`${this.url}/run/${tenant}/${fn}${init.path ?? ''}`, {
      signal: AbortSignal.timeout(60_000),
      ...init,
    });
  }

  /** Calls a function with a body that does not end yet: it holds its place until `finish`. */
  hold(tenant: string, fn: string): HeldCall {
    return new HeldCall(`${this.url}/run/${tenant}/${fn}`);
  }

  /** Calls a function that must fail. */
  async problem(tenant: string, fn: string, init: RequestInit & { path?: string } = {}): Promise<Problem> {
    const response = await this.call(tenant, fn, init);
    const text = await response.text();
    if (response.status < 400) throw new Error(`${tenant}/${fn} answered ${response.status}: ${text}`);
    return JSON.parse(text) as Problem;
  }

  async logs(tenant: string, fn: string): Promise<readonly LogLine[]> {
    const { items } = await this.must<{ items: LogLine[] }>(
      'GET',
      `/v1/tenants/${tenant}/logs?function=${fn}&limit=500`,
    );
    return items;
  }

  async metric(name: string): Promise<number> {
    const text = await this.must<string>('GET', '/metrics');
    const line = text
      .split('\n')
      .find((candidate) => candidate.startsWith(`${name} `) || candidate.startsWith(`${name}{`));
    if (line === undefined) throw new Error(`no metric ${name}`);
    return Number(line.slice(line.lastIndexOf(' ')));
  }
}
