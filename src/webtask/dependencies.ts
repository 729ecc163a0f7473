/** What the webtask face is made of; the server gives it all. */
import type { IncomingMessage } from 'node:http';
import type { TokenIssuer, TokenVerifier } from '../auth/principal.ts';
import type { BerthError } from '../contracts/errors.ts';
import type { Control } from '../control/control.ts';
import type { DeployTurns } from '../control/deploy-turns.ts';
import type { Directory, Invoker } from '../invoke/invoker.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Logs } from '../logs/logs.ts';
import type { Preparer } from '../modules/preparer.ts';

export interface WebtaskDependencies {
  readonly control: Control;
  readonly directory: Directory;
  readonly invoker: Invoker;
  readonly verifier: TokenVerifier;
  readonly issuer: TokenIssuer;
  readonly logs: Logs;
  readonly preparer: Pick<Preparer, 'prepare'>;
  /** Shared by all faces that take code. */
  readonly deploys: Pick<DeployTurns, 'take'>;
  readonly clock: Clock;
  /** Scheme and host as this caller reaches the platform, without a slash at the end: `http://127.0.0.1:8787`. */
  readonly publicUrl: (request: IncomingMessage) => string;
  /** Random letters and digits; must not be guessable. */
  readonly randomId: () => string;
  /** Hears of every failure that is the platform's own fault, with its cause. */
  readonly report: (error: BerthError) => void;
  /** The runnable with this key is not used any more (`Sandboxes.retire`). */
  readonly retire: (key: string) => void;
}
