/** Everything behind the faces, made in the order in which the parts need each other. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/settings.ts';
import type { TenantId } from '../contracts/ids.ts';
import { effectiveLimits, type LimitOverrides, type Limits } from '../contracts/limits.ts';
import type { Tenant } from '../contracts/model.ts';
import type { Control } from '../control/control.ts';
import { createControl } from '../control/create-control.ts';
import { DeployTurns } from '../control/deploy-turns.ts';
import { listenForSandbox } from '../drivers/channel-listener.ts';
import type { Driver, DriverFacts } from '../drivers/driver.ts';
import { newSandboxId } from '../drivers/new-sandbox-id.ts';
import { refuseJwksUrl } from '../auth/jwks/jwks-fetch.ts';
import { createInvoker } from '../invoke/http-invoker.ts';
import type { Invoker } from '../invoke/invoker.ts';
import { createDirectory, type MemoryDirectory } from '../invoke/memory-directory.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Logs } from '../logs/logs.ts';
import { createLogs } from '../logs/tenant-logs.ts';
import { createPreparer } from '../modules/code-preparer.ts';
import type { Preparer } from '../modules/preparer.ts';
import { createInnerFace, type InnerFace } from '../gateway/inner-face.ts';
import { createHostChannel } from '../sandboxes/channel/host-channel.ts';
import { createSandboxes } from '../sandboxes/local-sandboxes.ts';
import type { EgressBroker } from '../sandboxes/egress/egress.ts';
import { HomeConnections } from '../sandboxes/egress/home-connections.ts';
import type { Sandboxes } from '../sandboxes/sandboxes.ts';
import type { PlatformLog } from '../sandboxes/services.ts';
import type { Services } from '../services/services.ts';
import { createServices } from '../services/tenant-services.ts';
import type { MasterKey } from '../store/master-key.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createMetrics } from '../telemetry/prometheus-metrics.ts';
import type { AuthParts } from './auth-parts.ts';
import { type HostNetwork, startEgress } from './egress-parts.ts';
import { invokerHooks, sandboxObserver, serviceObserver } from './observers.ts';

export interface PlatformOptions {
  readonly config: Config;
  readonly masterKey: MasterKey;
  /** Ready for use; the platform closes it. */
  readonly driver: Driver;
  /** Where the directories of sandboxes' channels are made. */
  readonly channelsDir: string;
  readonly clock: Clock;
  readonly log: PlatformLog;
  readonly version: string;
}

/** What the faces are made of. */
export interface Core {
  readonly options: PlatformOptions;
  readonly store: Store;
  readonly auth: AuthParts;
  readonly facts: DriverFacts;
  readonly metrics: Metrics;
  readonly logs: Logs;
  readonly services: Services;
  readonly egress: EgressBroker;
  readonly sandboxes: Sandboxes;
  readonly directory: MemoryDirectory;
  readonly preparer: Preparer;
  readonly control: Control;
  readonly deploys: DeployTurns;
  readonly invoker: Invoker;
}

export interface Ground {
  readonly options: PlatformOptions;
  readonly store: Store;
  readonly auth: AuthParts;
  readonly facts: DriverFacts;
  readonly network: HostNetwork;
}

export async function createCore(ground: Ground): Promise<Core> {
  const { options, store, auth, facts, network } = ground;
  const { config, clock, log } = options;
  const metrics = createMetrics();
  const tenantLimits = new TenantLimits(config.limits);
  const logs = createLogs({ store, clock, log, limitsOf: (id) => tenantLimits.of(id) });
  const services = startServices(ground, metrics);
  // Made after the sandboxes that call through it.
  let inner: InnerFace | null = null;
  const home = new HomeConnections(clock);
  const egress = startEgress({
    home,
    config,
    network,
    services,
    store,
    clock,
    log,
    metrics,
    connectInternal: (call) => inner?.connect(call) ?? null,
  });
  const sandboxes = startSandboxes(ground, { metrics, logs, egress });
  const directory = await createDirectory({
    store,
    clock,
    limitsOf: (tenant) => tenantLimits.effective(tenant),
    nodeVersions: () => sandboxes.facts().nodeVersions,
    serviceSecrets: (tenant) => services.secretsOf(tenant),
    onRetire: (key) => sandboxes.retire(key),
    onError: (error) => log.error({ err: error }, 'a change could not be read from the store; trying again'),
  });
  tenantLimits.directory = directory;
  const preparer = createPreparer();
  const control = startControl(ground, { preparer, services, sandboxes, directory });
  const invoker = startInvoker(ground, { metrics, logs, sandboxes, home });
  inner = createInnerFace({ directory, invoker, clock });
  const deploys = new DeployTurns(clock);
  const parts = {
    metrics,
    logs,
    services,
    egress,
    sandboxes,
    directory,
    preparer,
    control,
    deploys,
    invoker,
  };
  return { options, store, auth, facts, ...parts };
}

function startControl(
  { options, store, auth, facts }: Ground,
  {
    preparer,
    services,
    sandboxes,
    directory,
  }: Pick<Core, 'preparer' | 'services' | 'sandboxes' | 'directory'>,
): Control {
  const { config, clock } = options;
  return createControl({
    store,
    preparer,
    issuer: auth.issuer,
    limits: config.limits,
    facts,
    acceptedGaps: config.acceptGaps,
    directorySettled: () => directory.settled(),
    sandboxes,
    services,
    serviceKinds: config.services,
    refuseJwksUrl: (url) => refuseJwksUrl(url, config.jwksAllow),
    clock,
    random: randomBytes,
    sleep,
  });
}

function startInvoker(
  { options }: Ground,
  {
    metrics,
    logs,
    sandboxes,
    home,
  }: Pick<Core, 'metrics' | 'logs' | 'sandboxes'> & { readonly home: HomeConnections },
): Invoker {
  const { config, clock, log } = options;
  return createInvoker({
    sandboxes,
    clock,
    random: randomBytes,
    trustProxy: config.trustProxy,
    hopsOf: (socket) => home.hopsOf(socket),
    hooks: invokerHooks({ metrics, logs, log, clock, isAccessLogged: config.log.access }),
  });
}

function startServices({ options, store }: Ground, metrics: Metrics): Services {
  const { config, driver, channelsDir, clock, log } = options;
  const services = createServices({
    driver,
    store,
    kinds: config.services,
    listen: listenForSandbox,
    newId: newSandboxId,
    runDir: channelsDir,
    clock,
    log,
    observe: serviceObserver(metrics),
  });
  metrics.watchServices(() => services.counts());
  metrics.watchServiceDisk(() => services.disk());
  return services;
}

function startSandboxes(
  { options, facts }: Ground,
  { metrics, logs, egress }: Pick<Core, 'metrics' | 'logs' | 'egress'>,
): Sandboxes {
  const { config, clock, log } = options;
  const defaults = effectiveLimits(config.limits);
  const sandboxes = createSandboxes({
    driver: options.driver,
    runDir: options.channelsDir,
    facts,
    clock,
    log,
    pool: config.pool,
    maxSandboxes: config.maxSandboxes,
    listen: listenForSandbox,
    openChannel: createHostChannel,
    egress,
    newId: newSandboxId,
    onLog: (record) => logs.publish(record),
    onEvent: sandboxObserver(metrics),
    defaultLimits: () => defaults,
  });
  metrics.watchSandboxes(() => sandboxes.stats());
  return sandboxes;
}

/** Limits in force by tenant id. Logs want them before there is a directory; until then the operator's defaults hold. */
class TenantLimits {
  readonly #operator: LimitOverrides;
  readonly #defaults: Limits;
  directory: MemoryDirectory | null = null;

  constructor(operator: LimitOverrides) {
    this.#operator = operator;
    this.#defaults = effectiveLimits(operator);
  }

  effective(tenant: Tenant): Limits {
    return effectiveLimits(this.#operator, tenant.limits);
  }

  of(id: TenantId): Limits {
    const tenant = this.directory?.tenant(id) ?? null;
    return tenant === null ? this.#defaults : this.effective(tenant);
  }
}
