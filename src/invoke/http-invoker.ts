/** Runs invocations for the faces. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../kernel/clock.ts';
import { TimerWheel } from '../kernel/timer-wheel.ts';
import type { Runnable, Sandboxes } from '../sandboxes/sandboxes.ts';
import { Admission } from './admission.ts';
import { HttpExchange } from './http-exchange.ts';
import { createInvocationIds } from './invocation-ids.ts';
import type { InvokerContext, InvokerHooks } from './invoker-context.ts';
import type { ExchangeOptions, Invoker } from './invoker.ts';
import { UpgradeExchange } from './upgrade-exchange.ts';

export interface InvokerOptions {
  readonly sandboxes: Pick<Sandboxes, 'tryAcquire' | 'acquire'>;
  readonly clock: Clock;
  /** bytes that nobody can guess */
  readonly random: (bytes: number) => Uint8Array;
  readonly trustProxy: boolean;
  /** How often what a connection brings has passed through the gateway before, where it comes from a sandbox; else 0. */
  readonly hopsOf?: (socket: Socket) => number;
  readonly hooks?: InvokerHooks;
}

/** How late a time limit may strike. */
const TICK_MS = 100;

export function createInvoker(options: InvokerOptions): Invoker {
  return new HttpInvoker(options);
}

class HttpInvoker implements Invoker {
  readonly #context: InvokerContext;

  constructor({ sandboxes, clock, random, trustProxy, hopsOf = () => 0, hooks = {} }: InvokerOptions) {
    this.#context = {
      sandboxes,
      clock,
      wheel: new TimerWheel(clock, TICK_MS),
      admission: new Admission(),
      ids: createInvocationIds(random),
      hooks,
      trustProxy,
      hopsOf,
      inFlight: 0,
    };
  }

  get inFlight(): number {
    return this.#context.inFlight;
  }

  exchange(
    runnable: Runnable,
    request: IncomingMessage,
    response: ServerResponse,
    options: ExchangeOptions,
  ): void {
    new HttpExchange({ context: this.#context, runnable, request, response, options }).start();
  }

  // oxlint-disable-next-line max-params -- the interface mirrors Node's `upgrade` event
  upgrade(
    runnable: Runnable,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    options: ExchangeOptions,
  ): void {
    new UpgradeExchange({ context: this.#context, runnable, request, socket, head, options }).start();
  }
}
