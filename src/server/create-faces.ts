/** The faces of the platform on one HTTP server: gateway, native API, webtask. */
import { randomUUID } from 'node:crypto';
import type http from 'node:http';
import { type Api, createApi } from '../api/create-api.ts';
import type { ApiServices } from '../api/services.ts';
import { authorise } from '../auth/authorise.ts';
import type { BerthError } from '../contracts/errors.ts';
import { createGateway } from '../gateway/gateway.ts';
import { trackSockets } from '../gateway/open-sockets.ts';
import { runAll } from '../kernel/run-all.ts';
import { createWebtaskFace, type WebtaskFace } from '../webtask/webtask-face.ts';
import type { Core } from './core.ts';
import { connectionsWithin, openFilesLimit } from './open-files.ts';

export interface Faces {
  /** Not listening yet. */
  readonly server: http.Server;
  /** Stops accepting, lets `drain` end the work, then closes what is left open. */
  stop(drain: () => Promise<void>): Promise<void>;
  /** The supervisor is gone, and no sandbox can be made any more. */
  lose(): void;
}

export async function createFaces(core: Core): Promise<Faces> {
  const stopping = new AbortController();
  const supervisor = { isGone: false };
  const report = (error: BerthError): void =>
    core.options.log.error({ err: error }, 'a request failed by our fault');
  const webtask = createWebtask(core, report);
  const api = await createNativeApi(core, webtask, {
    isStopping: () => stopping.signal.aborted,
    isSupervised: () => !supervisor.isGone,
  });
  const { directory, invoker, auth, metrics } = core;
  const { clock } = core.options;
  const { domain, maxSandboxes } = core.options.config;
  const server = createGateway({
    directory,
    invoker,
    verifier: auth.verifier,
    authorise,
    clock,
    config: { domain, maxConnections: connectionsWithin(openFilesLimit(), maxSandboxes) },
    otherRuns: (request, response, sendContinue) => webtask.handleRun(request, response, sendContinue),
    control: (request, response) => api.handler(request, response),
    controlUpgrade: (request, socket, head) => webtask.handleUpgrade(request, socket, head),
    onResponse: (status) => metrics.responseSent(status),
    report,
  });
  const endSockets = trackSockets(server);
  return {
    server,
    stop: (drain) => stop({ server, api, webtask, stopping, endSockets }, drain),
    lose: () => void (supervisor.isGone = true),
  };
}

function createWebtask(core: Core, report: (error: BerthError) => void): WebtaskFace {
  const { control, directory, invoker, auth, logs, preparer, sandboxes } = core;
  const { clock } = core.options;
  const { publicUrl } = core.options.config;
  return createWebtaskFace({
    control,
    directory,
    invoker,
    verifier: auth.verifier,
    issuer: auth.issuer,
    logs,
    preparer,
    deploys: core.deploys,
    clock,
    publicUrl: (request) => publicUrl ?? `http://${request.headers.host ?? 'localhost'}`,
    randomId: () => randomUUID().replaceAll('-', ''),
    report,
    retire: (key) => sandboxes.retire(key),
  });
}

function createNativeApi(
  core: Core,
  webtask: WebtaskFace,
  state: Pick<ApiServices, 'isStopping' | 'isSupervised'>,
): Promise<Api> {
  const { config, clock, log, version } = core.options;
  return createApi({
    control: core.control,
    verifier: core.auth.verifier,
    authorise,
    deploys: core.deploys,
    store: core.store,
    logs: core.logs,
    isReady: () => core.sandboxes.isReady(),
    ...state,
    metrics: () => core.metrics.render(),
    metricsPublic: config.metricsPublic,
    facts: core.facts,
    acceptedGaps: config.acceptGaps,
    version,
    publicUrl: config.publicUrl,
    log,
    clock,
    newRequestId: randomUUID,
    mounts: [webtask],
  });
}

type Running = Pick<Faces, 'server'> & {
  readonly api: Api;
  readonly webtask: WebtaskFace;
  readonly stopping: AbortController;
  readonly endSockets: () => void;
};

async function stop(
  { server, api, webtask, stopping, endSockets }: Running,
  drain: () => Promise<void>,
): Promise<void> {
  stopping.abort();
  const closed = new Promise((resolve) => {
    server.close(resolve);
  });
  server.closeIdleConnections();
  await runAll([() => webtask.close(), drain, () => api.close(), endSockets, () => closed]);
}
