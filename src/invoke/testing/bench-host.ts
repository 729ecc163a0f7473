/** A gateway's surroundings in memory, for tests: tenants, routes, a real HTTP server on loopback. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import type { FunctionName, RevisionId, TenantId } from '../../contracts/ids.ts';
import { effectiveLimits, type LimitOverrides, type Limits } from '../../contracts/limits.ts';
import type { Access, Tenant } from '../../contracts/model.ts';
import { type Clock, systemClock } from '../../kernel/clock.ts';
import type { Runnable } from '../../sandboxes/sandboxes.ts';
import { createInvoker, type InvokerOptions } from '../http-invoker.ts';
import type { Directory, Invoker, Route } from '../invoker.ts';
import type { FakeSandboxes } from './fake-sandboxes.ts';
import { ownKind } from '../../drivers/facts.ts';

export class FakeDirectory implements Directory {
  readonly #routes = new Map<string, Route>();
  readonly #tenants = new Map<string, { tenant: Tenant; limits: Limits }>();

  addTenant(id: string, limits: LimitOverrides = {}, state: Tenant['state'] = 'active'): void {
    const tenant: Tenant = {
      id: id as TenantId,
      name: id,
      state,
      limits,
      egress: 'public',
      isolation: 'standard',
      tokensValidFrom: 0,
      createdAt: 1,
      updatedAt: 1,
    };
    this.#tenants.set(id, { tenant, limits: effectiveLimits(limits) });
  }

  addFunction(tenant: string, name: string, access: Access = 'public'): Runnable {
    const { tenant: owner } = this.#tenants.get(tenant)!;
    const fn = name as FunctionName;
    const runnable: Runnable = {
      key: `${tenant}/${name}/1`,
      tenant: owner.id,
      fn,
      revision: `r${'0'.repeat(24)}` as RevisionId,
      limits: () => this.#tenants.get(tenant)!.limits,
      egress: () => 'public',
      kind: () => ownKind,
      load: () => Promise.resolve(Buffer.alloc(0)),
    };
    this.#routes.set(`${tenant}/${name}`, { tenant: owner, fn, access, runnable });
    return runnable;
  }

  find(tenant: string, fn: string): Route | null {
    return this.#routes.get(`${tenant}/${fn}`) ?? null;
  }

  tenant(id: TenantId): Tenant | null {
    return this.#tenants.get(id)?.tenant ?? null;
  }
}

export function fakeInvoker(sandboxes: FakeSandboxes, options: Partial<InvokerOptions> = {}): Invoker {
  return createInvoker({ sandboxes, clock: systemClock, random: randomBytes, trustProxy: false, ...options });
}

export interface TestServer extends AsyncDisposable {
  readonly server: http.Server;
  readonly port: number;
  readonly url: string;
}

/** Listens on a free port of loopback; disposing closes every connection. */
export async function listening(server: http.Server): Promise<TestServer> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    server,
    port,
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export interface RawExchange {
  /** latin1 */
  readonly text: string;
  /** the connection was reset, not ended */
  readonly wasReset: boolean;
}

const RAW_MS = 15_000;
const LOOK_EVERY_MS = 5;

/**
 * Sends bytes as they are and collects what comes until the other side closes, or 15 s are over.
 * @param isEnough ends it before, when what came suffices
 */
export function sendRaw(
  port: number,
  bytes: string | readonly string[],
  isEnough: (text: string) => boolean = () => false,
): Promise<RawExchange> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    let wasReset = false;
    const finish = (): void => {
      clearTimeout(timer);
      clearInterval(looks);
      socket.destroy();
      resolve({ text, wasReset });
    };
    const timer = setTimeout(() => {
      text += '[still open]';
      finish();
    }, RAW_MS);
    const looks = setInterval(() => {
      if (isEnough(text)) finish();
    }, LOOK_EVERY_MS);
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', () => (wasReset = true));
    socket.on('close', finish);
    for (const part of typeof bytes === 'string' ? [bytes] : bytes) socket.write(part, 'latin1');
  });
}

/** Waits for a condition. @throws Error after `ms` */
export async function until(
  condition: () => boolean,
  ms = 20_000,
  clock: Clock = systemClock,
): Promise<void> {
  const end = clock.monotonic() + ms;
  while (!condition()) {
    if (clock.monotonic() > end) throw new Error(`not within ${ms} ms: ${condition.toString()}`);
    await new Promise<void>((resolve) => {
      clock.after(5, resolve);
    });
  }
}
