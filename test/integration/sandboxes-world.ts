/** Sandboxes with everything real below them: driver, socket, channel, runtime. Revisions are given as text. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BerthError } from '../../src/contracts/errors.ts';
import type { EgressPolicy } from '../../src/contracts/egress.ts';
import type { LoadSpec } from '../../src/contracts/frames.ts';
import type { FunctionName, RevisionId, TenantId } from '../../src/contracts/ids.ts';
import { defaultLimits, type Limits } from '../../src/contracts/limits.ts';
import type { LogRecord } from '../../src/contracts/model.ts';
import type { Driver } from '../../src/drivers/driver.ts';
import { createProcessDriver } from '../../src/drivers/process/process-driver.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { encodeLoad } from '../../src/kernel/frame-heads.ts';
import { buildRuntimeBundle } from '../../src/modules/runtime-bundle.ts';
import { createHostChannel } from '../../src/sandboxes/channel/host-channel.ts';
import { listenForSandbox } from '../../src/drivers/channel-listener.ts';
import { createSandboxes, type SandboxesOptions } from '../../src/sandboxes/local-sandboxes.ts';
import { newSandboxId } from '../../src/drivers/new-sandbox-id.ts';
import type { Runnable, Sandboxes } from '../../src/sandboxes/sandboxes.ts';
import { noEgress } from '../../src/sandboxes/testing/no-egress.ts';
import type { SandboxEvent } from '../../src/sandboxes/services.ts';
import { ownKind } from '../../src/drivers/facts.ts';

const DEADLINE_MS = 20_000;

export interface SandboxesWorld {
  readonly sandboxes: Sandboxes;
  readonly driver: Driver;
  readonly logs: LogRecord[];
  readonly events: SandboxEvent[];
  readonly runDir: string;
  close(): Promise<void>;
}

export async function openSandboxesWorld(
  egress: SandboxesOptions['egress'] = noEgress,
): Promise<SandboxesWorld> {
  const runDir = await mkdtemp(join(tmpdir(), 'berth-sb-'));
  const runtimeFile = await buildRuntimeBundle({ outDir: join(runDir, 'runtime') });
  const silent = (): void => undefined;
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  const driver = createProcessDriver({ runDir, nodePath: process.execPath, runtimeFile, log });
  const logs: LogRecord[] = [];
  const events: SandboxEvent[] = [];
  const sandboxes = createSandboxes({
    driver,
    facts: await driver.facts(),
    clock: systemClock,
    runDir,
    listen: listenForSandbox,
    openChannel: createHostChannel,
    egress,
    newId: newSandboxId,
    onLog: (record) => void logs.push(record),
    onEvent: (event) => void events.push(event),
    log,
    defaultLimits: () => defaultLimits,
    pool: { minBlank: 1, maxBlank: 1, startConcurrency: 2 },
    maxSandboxes: 20,
  });
  const close = async (): Promise<void> => {
    await sandboxes.drain(0);
    await driver.close();
    await rm(runDir, { recursive: true, force: true });
  };
  return { sandboxes, driver, logs, events, runDir, close };
}

export function revision(
  key: string,
  code: string,
  limits: Partial<Limits> = {},
  egress: () => EgressPolicy = () => 'public',
): Runnable {
  const all: Limits = { ...defaultLimits, ...limits };
  const spec: Omit<LoadSpec, 'parts'> = {
    tenant: 'acme',
    fn: key,
    revision: 'r1',
    form: 'auto',
    moduleKind: 'commonjs',
    evaluate: 'script',
    filename: 'hello.js',
    secrets: {},
    env: {},
    meta: {},
    webtask: null,
    limits: all,
  };
  const parts = { code: Buffer.from(code), sourceMap: null, bytecode: null };
  return {
    key,
    tenant: 'acme' as TenantId,
    fn: key as FunctionName,
    revision: `r${'0'.repeat(24)}` as RevisionId,
    limits: () => all,
    egress,
    kind: () => ownKind,
    load: () => Promise.resolve(encodeLoad(spec, parts)),
  };
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly error: BerthError | null;
}

/** One invocation from acquire to its end. */
export async function ask(sandboxes: Sandboxes, runnable: Runnable, url = '/'): Promise<Answer> {
  const lease =
    sandboxes.tryAcquire(runnable) ?? (await sandboxes.acquire(runnable, AbortSignal.timeout(DEADLINE_MS)));
  return new Promise((resolve) => {
    let status = 0;
    const chunks: Buffer[] = [];
    const end = (error: BerthError | null): void =>
      resolve({ status, body: Buffer.concat(chunks).toString(), error });
    const take = (chunk: Buffer): void => {
      chunks.push(Buffer.from(chunk));
      invocation.consumed(chunk.length);
    };
    const head = { method: 'GET', url, basePath: '', remoteAddress: '127.0.0.1', scheme: 'http' as const };
    const invocation = lease.invoke(
      {
        head: { ...head, invocation: 'i1', headers: ['host', 'localhost'] },
        body: Buffer.alloc(0),
        isEnd: true,
        isUpgrade: false,
      },
      {
        onResponse: (response, body) => {
          status = response.status;
          take(body);
        },
        onData: take,
        onWritable: () => undefined,
        onDone: () => end(null),
        onFailed: end,
      },
    );
  });
}
