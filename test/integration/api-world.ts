/** The API as it is composed in the server, but for sandboxes and compiling: real store, keys, tokens, logs and HTTP. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Api, createApi } from '../../src/api/create-api.ts';
import type { Mount } from '../../src/api/services.ts';
import { authorise } from '../../src/auth/authorise.ts';
import { JwksCache } from '../../src/auth/jwks/jwks-cache.ts';
import { createJwksFetch } from '../../src/auth/jwks/jwks-fetch.ts';
import { KeyRing } from '../../src/auth/key-ring.ts';
import { ensurePlatformKey } from '../../src/auth/platform-keys.ts';
import type { TokenIssuer } from '../../src/auth/principal.ts';
import { RevocationList } from '../../src/auth/revocation-list.ts';
import { createTokenIssuer } from '../../src/auth/token-issuer.ts';
import { createTokenVerifier } from '../../src/auth/token-verifier.ts';
import { BerthError } from '../../src/contracts/errors.ts';
import type { TenantId } from '../../src/contracts/ids.ts';
import { defaultLimits } from '../../src/contracts/limits.ts';
import type { Isolation } from '../../src/contracts/isolations.ts';
import { builtInKinds } from '../../src/contracts/services.ts';
import type { Control } from '../../src/control/control.ts';
import { createControl } from '../../src/control/create-control.ts';
import { DeployTurns } from '../../src/control/deploy-turns.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import type { Logs } from '../../src/logs/logs.ts';
import { createLogs } from '../../src/logs/tenant-logs.ts';
import { FakeServices } from '../../src/services/testing/fake-services.ts';
import type { DeploySource, Prepared, Preparer } from '../../src/modules/preparer.ts';
import { MasterKey } from '../../src/store/master-key.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { factsOf } from '../../src/drivers/testing/facts.ts';

export interface ApiWorldOptions {
  readonly gaps?: ReadonlyMap<Isolation, string>;
  readonly acceptedGaps?: readonly Isolation[];
  readonly mounts?: readonly Mount[];
  readonly metricsPublic?: boolean;
}

export interface Answer<T = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
  readonly text: string;
}

export class ApiWorld {
  readonly evicted: TenantId[] = [];
  readonly applied: TenantId[] = [];
  readonly services = new FakeServices();
  readonly reported: Record<string, unknown>[] = [];
  isReady = true;
  isStopping = false;
  isSupervised = true;
  url = '';
  operator = '';
  store!: Store;
  logs!: Logs;
  control!: Control;
  issuer!: TokenIssuer;
  api!: Api;
  readonly #dir: string;
  #server: Server | null = null;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async open(options: ApiWorldOptions = {}): Promise<ApiWorld> {
    const world = new ApiWorld(await mkdtemp(join(tmpdir(), 'berth-api-')));
    await world.#start(options);
    return world;
  }

  async #start(options: ApiWorldOptions): Promise<void> {
    const log = { warn: () => undefined, error: (facts: object) => void this.reported.push({ ...facts }) };
    const clock = systemClock;
    const store = await openSqliteStore({
      dir: this.#dir,
      masterKey: new MasterKey(Buffer.alloc(32, 7)),
      clock,
      log,
    });
    const ring = new KeyRing(store);
    const revoked = new RevocationList({ clock });
    store.onChange((change) => {
      if (change.kind === 'keys') ring.refresh(change.tenant);
      if (change.kind === 'tenant') ring.refresh(change.tenant);
      if (change.kind === 'token-revoked') revoked.add(change);
    });
    await ensurePlatformKey({ store, clock });
    const jwks = new JwksCache({ fetch: createJwksFetch(), clock });
    const verifier = createTokenVerifier({ ring, revoked, jwks, clock });
    const facts = factsOf({ driver: 'process', gaps: options.gaps ?? new Map<Isolation, string>() });
    const acceptedGaps = options.acceptedGaps ?? [];
    this.store = store;
    this.issuer = createTokenIssuer({ ring, clock });
    this.logs = createLogs({ store, clock, log, limitsOf: () => defaultLimits });
    this.control = createControl({
      store,
      preparer: linePreparer,
      issuer: this.issuer,
      limits: { codeBytes: 1024 * 1024 },
      facts,
      acceptedGaps,
      directorySettled: async () => undefined,
      sandboxes: {
        applyLimits: async (tenant) => void this.applied.push(tenant),
        evict: async (tenant) => void this.evicted.push(tenant),
        facts: () => facts,
        rollout: async () => facts,
      },
      services: this.services,
      serviceKinds: builtInKinds,
      clock,
      random: randomBytes,
      sleep: (ms) => delay(ms),
    });
    this.api = await createApi({
      control: this.control,
      verifier,
      authorise,
      deploys: new DeployTurns(clock),
      store,
      logs: this.logs,
      isReady: () => this.isReady,
      isStopping: () => this.isStopping,
      isSupervised: () => this.isSupervised,
      metrics: async () => 'berth_up 1\n',
      metricsPublic: options.metricsPublic ?? false,
      facts,
      acceptedGaps,
      version: '1.2.3',
      publicUrl: null,
      log,
      clock,
      newRequestId: () => randomBytes(8).toString('hex'),
      mounts: options.mounts ?? [],
    });
    this.operator = (await this.issuer.issue({ scopes: ['operator'], tenant: null })).token;
    this.#server = createServer(this.api.handler).listen(0, '127.0.0.1');
    await new Promise((resolve) => this.#server!.once('listening', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async close(): Promise<void> {
    await this.api.close();
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve) ?? resolve(null));
    await this.logs.close();
    await this.store.close();
    await rm(this.#dir, { recursive: true });
  }

  async tokenOf(
    tenant: string,
    scopes: readonly ('manage' | 'run')[] = ['manage'],
    fn?: string,
  ): Promise<string> {
    const request = { scopes, tenant: tenant as TenantId, ...(fn === undefined ? {} : { fn }) };
    return (await this.issuer.issue(request)).token;
  }

  /** Sends JSON (or text and bytes as they are) with a token: the operator's when none is named, null for none. */
  async send<T = Record<string, unknown>>(
    method: string,
    path: string,
    body?: unknown,
    { token = this.operator, headers = {} }: { token?: string | null; headers?: Record<string, string> } = {},
  ): Promise<Answer<T>> {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined || isRaw ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      signal: AbortSignal.timeout(20_000),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    return {
      status: response.status,
      headers: response.headers,
      body: (isJson ? JSON.parse(text) : text) as T,
      text,
    };
  }

  async must<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.send<T>(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  }

  /** Writes bytes to a connection of its own and reads until the server closes it. */
  exchange(bytes: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = '';
      const socket = connect(this.port, '127.0.0.1', () => socket.write(bytes));
      socket.setTimeout(5_000, () => socket.destroy(new Error(`the connection stays open: ${text}`)));
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.once('close', () => resolve(text)).once('error', reject);
    });
  }
}

/** Takes every text as it is; `syntax error` does not compile, `no form` leaves the form open. */
const linePreparer: Preparer = {
  async prepare(source: DeploySource): Promise<Prepared> {
    const text = Buffer.from(source.source).toString();
    const { filename, entry = filename, form, moduleKind = 'commonjs', sourceMap } = source;
    if (text.includes('syntax error')) {
      throw new BerthError('CODE_INVALID', {
        reason: 'Unexpected token',
        file: filename,
        line: 1,
        column: 3,
      });
    }
    return {
      prepared: { code: source.source, source: source.source, sourceMap: sourceMap ?? null },
      form: form ?? (text.includes('no form') ? 'auto' : 'webtask'),
      isFormFixed: form !== undefined,
      moduleKind,
      language: entry.endsWith('.ts') ? 'typescript' : 'javascript',
      evaluate: 'script',
      filename: entry,
    };
  },
  makeBytecode: async () => null,
  close: async () => undefined,
};
