/** Chooses a sandbox and runs one invocation: what the faces (gateway, webtask) call with a request of Node's HTTP server. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { BerthError } from '../contracts/errors.ts';
import type { FunctionName, TenantId } from '../contracts/ids.ts';
import type { Access, Tenant } from '../contracts/model.ts';
import type { Runnable } from '../sandboxes/sandboxes.ts';

/** A function as the data path knows it, all in memory. */
export interface Route {
  readonly tenant: Tenant;
  readonly fn: FunctionName;
  readonly access: Access;
  readonly runnable: Runnable;
}

/** The routing table: all tenants and functions in memory, kept true by the store's changes. Look-ups are synchronous. */
export interface Directory {
  /** null: no such tenant or function, or no active revision */
  find(tenant: string, fn: string): Route | null;
  tenant(id: TenantId): Tenant | null;
}

export interface ExchangeOptions {
  /** Path and query as the function sees it; origin form, starts with `/`. */
  readonly url: string;
  /** What was taken off the front of the path, '' if nothing. */
  readonly basePath: string;
  /** Headers, alternating names and values, to take instead of the request's own; the same rules are applied to them. */
  readonly headers?: readonly string[];
  /** The caller waits for `100 Continue` before it sends the body, and nobody has sent it yet. */
  readonly sendContinue?: boolean;
  /** How often the request has passed through the gateway before, by way of tenants' functions; left out: its connection tells. */
  readonly hops?: number;
  /** How errors are written to the caller; the default is problem+json. The webtask face has its own shape. */
  readonly writeError?: WriteError;
}

export type WriteError = (response: ServerResponse, error: BerthError, invocation: string) => void;

export interface Invoker {
  /** Runs one request: admission, sandbox, streams both ways, limits, abort, accounting, errors to the caller. Never throws.
   *  Authorisation has been done. */
  exchange(
    runnable: Runnable,
    request: IncomingMessage,
    response: ServerResponse,
    options: ExchangeOptions,
  ): void;
  /** The same for an HTTP upgrade (WebSocket): after the function's 101 the bytes pass both ways. */
  upgrade(
    runnable: Runnable,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    options: ExchangeOptions,
  ): void;
  /** Invocations under way. */
  readonly inFlight: number;
}
