/** What the API is made of; all of it comes from the composition root. */
import type { FastifyInstance } from 'fastify';
import type { Authorise, TokenVerifier } from '../auth/principal.ts';
import type { Control } from '../control/control.ts';
import type { DeployTurns } from '../control/deploy-turns.ts';
import type { DriverFacts, Isolation } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Logs } from '../logs/logs.ts';
import type { Store } from '../store/store.ts';

/** The part of the platform's log that the API writes to; pino fits. */
export interface ApiLog {
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface ApiServices {
  readonly control: Control;
  readonly verifier: TokenVerifier;
  readonly authorise: Authorise;
  /** Shared by all faces that take code. */
  readonly deploys: Pick<DeployTurns, 'take'>;
  readonly store: Pick<Store, 'ping' | 'queryLogs'>;
  readonly logs: Pick<Logs, 'subscribe' | 'flush'>;
  /** A blank sandbox waits, or one can be made. */
  readonly isReady: () => boolean;
  /** The platform takes no new work. */
  readonly isStopping: () => boolean;
  /** False: the supervisor is gone, and with it all sandboxes. */
  readonly isSupervised: () => boolean;
  /** The text of `/metrics`, in Prometheus' format. */
  readonly metrics: () => Promise<string>;
  /** True: `/metrics` wants no token. */
  readonly metricsPublic: boolean;
  readonly facts: DriverFacts;
  readonly acceptedGaps: readonly Isolation[];
  readonly version: string;
  /** Where callers reach the platform, such as `https://berth.example`; null: as they called us (Host). */
  readonly publicUrl: string | null;
  readonly log: ApiLog;
  readonly clock: Clock;
  /** Makes the id of a request that stands in errors and in the platform's log. */
  readonly newRequestId: () => string;
}

/** Another face on the same listener, with routes, body parsing and error shape of its own. */
export interface Mount {
  /** `/api`; no slash at the end */
  readonly prefix: string;
  /** Gets a Fastify scope that holds nothing of the native API: no hooks, parsers or error handler. */
  register(scope: FastifyInstance): Promise<void>;
}
