/** A gateway on loopback with played sandboxes, two tenants and two functions each. */
import type { Duplex } from 'node:stream';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { authorise } from '../../src/auth/authorise.ts';
import type { Principal } from '../../src/auth/principal.ts';
import { BerthError } from '../../src/contracts/errors.ts';
import type { TenantId } from '../../src/contracts/ids.ts';
import type { LimitOverrides } from '../../src/contracts/limits.ts';
import type { GatewayVerifier } from '../../src/gateway/access-check.ts';
import { createGateway, type GatewayConfig, type GatewayOptions } from '../../src/gateway/gateway.ts';
import type { InvokerOptions } from '../../src/invoke/http-invoker.ts';
import type { Invoker } from '../../src/invoke/invoker.ts';
import {
  FakeDirectory,
  fakeInvoker,
  listening,
  type TestServer,
} from '../../src/invoke/testing/bench-host.ts';
import { type FakeHandler, FakeSandboxes } from '../../src/invoke/testing/fake-sandboxes.ts';
import { systemClock } from '../../src/kernel/clock.ts';

export interface World extends TestServer {
  readonly sandboxes: FakeSandboxes;
  readonly invoker: Invoker;
  readonly directory: FakeDirectory;
  /** paths that reached the control plane */
  readonly controlled: string[];
}

export interface WorldOptions {
  readonly limits?: LimitOverrides;
  readonly config?: Partial<GatewayConfig>;
  readonly gateway?: Partial<GatewayOptions>;
  readonly invoker?: Partial<InvokerOptions>;
}

export async function startWorld(play: FakeHandler, options: WorldOptions = {}): Promise<World> {
  const directory = new FakeDirectory();
  directory.addTenant('acme', options.limits);
  directory.addTenant('globex');
  directory.addTenant('closed', {}, 'suspended');
  for (const tenant of ['acme', 'globex']) {
    directory.addFunction(tenant, 'hello');
    directory.addFunction(tenant, 'private', 'token');
  }
  directory.addFunction('closed', 'hello');
  const sandboxes = new FakeSandboxes(play);
  const invoker = fakeInvoker(sandboxes, options.invoker);
  const controlled: string[] = [];
  const server = createGateway({
    directory,
    invoker,
    verifier,
    authorise,
    clock: systemClock,
    config: { domain: 'berth.test', ...options.config },
    control(request: IncomingMessage, response: ServerResponse) {
      controlled.push(request.url!);
      request.resume();
      response.end('control');
    },
    controlUpgrade: (_request: IncomingMessage, _socket: Duplex) => false,
    report: (error) => {
      throw error;
    },
    ...options.gateway,
  });
  return { ...(await listening(server)), sandboxes, invoker, directory, controlled };
}

/** Takes `tenant:scope:function` for a token; `slow` ones are verified a moment later. */
const verifier: GatewayVerifier = {
  verifyCached: (token) => (token.startsWith('slow') ? null : principalOf(token)),
  async verify(token) {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 20);
    });
    return principalOf(token.replace('slow-', ''));
  },
};

function principalOf(token: string): Principal {
  const [tenant, scope, fn] = token.split(':');
  if (scope !== 'run' && scope !== 'manage' && scope !== 'operator')
    throw new BerthError('TOKEN_INVALID', { reason: 'it is not one of this test' });
  return {
    scopes: new Set([scope]),
    tenant: scope === 'operator' ? null : (tenant as TenantId),
    fn: fn ?? null,
    tokenId: null,
    expiresAt: null,
    claims: {},
  };
}
