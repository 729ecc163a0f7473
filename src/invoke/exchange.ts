/**
 * The life of one invocation, whatever passes through it: its place with the tenant, its time, its end.
 *
 *   waiting ─lease─> running ─head─> responding ─end─> responded ─done─> over
 *   any of them ─cancel (caller gone, time, limit)─> cancelled ─done─> over
 *
 * The place of the tenant is given back at `over`; the timer looks on until the response has left as well.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BerthError } from '../contracts/errors.ts';
import { WheelEntry } from '../kernel/timer-wheel.ts';
import type { Invocation, Runnable } from '../sandboxes/sandboxes.ts';
import type { TenantGate } from './admission.ts';
import { drainBody, refusedBounds } from './body-drain.ts';
import { DownstreamPace } from './downstream-pace.ts';
import { timeout } from './exchange-errors.ts';
import type { ExchangeSummary, InvokerContext } from './invoker-context.ts';
import type { ExchangeOptions } from './invoker.ts';
import { unwatchPipelined, watchPipelined } from './pipelined-clients.ts';
import { breakOff, writeProblem } from './problem.ts';
import { SUBSTANTIAL_BYTES, type Upload } from './upload.ts';

export type Phase = 'waiting' | 'running' | 'responding' | 'responded' | 'cancelled' | 'over';

export interface ExchangeParts {
  readonly context: InvokerContext;
  readonly runnable: Runnable;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly options: ExchangeOptions;
}

/** Waiting for a sandbox has its own limits (queueMs, loadMs); this is for the case that they fail. */
const WAIT_GRACE_MS = 5_000;
const exchangeKey = Symbol('exchange');
type Tagged = ServerResponse & { [exchangeKey]?: Exchange };

export abstract class Exchange extends WheelEntry implements ExchangeSummary {
  readonly runnable: Runnable;
  readonly invocation: string;
  readonly startedAt: number;
  readonly isUpgrade: boolean = false;
  isColdStart = false;
  isClientGone = false;
  status = 0;
  error: BerthError | null = null;
  responseBytes = 0;
  headAt = 0;
  protected readonly context: InvokerContext;
  protected readonly request: IncomingMessage;
  protected readonly response: ServerResponse;
  protected readonly options: ExchangeOptions;
  protected readonly pace = new DownstreamPace();
  protected phase: Phase = 'waiting';
  protected handle: Invocation | null = null;
  protected upload: Upload | null = null;
  protected gate: TenantGate | null = null;
  /** ends the wait for a sandbox */
  protected abort: AbortController | null = null;
  #progressAt: number;
  #isClosed = false;

  constructor({ context, runnable, request, response, options }: ExchangeParts) {
    super();
    this.context = context;
    this.runnable = runnable;
    this.request = request;
    this.response = response;
    this.options = options;
    this.invocation = context.ids.next();
    this.startedAt = context.clock.monotonic();
    this.#progressAt = this.startedAt;
  }

  get requestBytes(): number {
    return this.upload?.bytes ?? 0;
  }

  // --- the caller

  protected watchClient(): void {
    const response: Tagged = this.response;
    response[exchangeKey] = this;
    response.on('close', onResponseClose);
    // Queued behind another response of the same connection: it hears nothing of the connection's end.
    if (response.socket === null) watchPipelined(this.request.socket, this);
  }

  /** The response has left whole, or the connection is gone. */
  clientClosed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.phase === 'waiting') {
      this.isClientGone = true;
      this.stopWaiting();
      this.finish();
    } else if (this.phase === 'running' || this.phase === 'responding') {
      this.isClientGone = true;
      this.cancel('client-gone');
    }
    if (this.phase !== 'responded') this.context.wheel.remove(this);
    unwatchPipelined(this.request.socket, this);
  }

  /** Says to the caller that it failed: in words where the response has not begun, else by breaking it off. */
  protected answer(error: BerthError, tellTimes: number): void {
    this.tell(error, tellTimes);
    const { response, request } = this;
    if (response.headersSent) return breakOff(response);
    this.status = error.definition.status;
    drainBody(request, this.context.clock, refusedBounds);
    (this.options.writeError ?? writeProblem)(response, error, this.invocation);
  }

  /** The caller does not take the end of its response. */
  protected hangUp(): void {
    this.response.destroy();
  }

  // --- time

  protected touch(): void {
    this.#progressAt = this.context.clock.monotonic();
  }

  protected begun(status: number): void {
    this.phase = 'responding';
    this.status = status;
    this.touch();
    this.headAt = this.#progressAt;
  }

  override onDue(lateMs: number): void {
    const idleMs = this.context.clock.monotonic() - this.#progressAt - lateMs;
    const limitMs = this.#limitMs();
    if (idleMs < limitMs) return this.context.wheel.schedule(this, limitMs - idleMs);
    this.#expired(limitMs);
    if (this.#isClosed) return;
    this.touch();
    this.context.wheel.schedule(this, limitMs);
  }

  #limitMs(): number {
    const { wallMs, queueMs, loadMs } = this.runnable.limits();
    return this.phase === 'waiting' ? queueMs + loadMs + WAIT_GRACE_MS : wallMs;
  }

  #expired(limitMs: number): void {
    switch (this.phase) {
      case 'waiting':
        this.stopWaiting();
        return this.refuse(
          new BerthError('QUEUE_TIMEOUT', { name: 'queueMs', limit: this.runnable.limits().queueMs }),
          1,
        );
      case 'running':
        return this.#timedOut(this.#lateness(limitMs));
      case 'responding':
        return this.#isReading() ? undefined : this.#timedOut(timeout(limitMs));
      case 'responded':
        this.tell(timeout(limitMs), 1);
        return this.cancel('timeout');
      default:
        // Only the response is left.
        if (!this.#isClosed && !this.#isReading()) this.hangUp();
    }
  }

  #isReading(): boolean {
    return this.pace.hasMoved(this.response.socket, SUBSTANTIAL_BYTES);
  }

  #timedOut(error: BerthError): void {
    this.cancel('timeout');
    this.answer(error, 1);
  }

  /** Who is late: the function, or the caller with its body. */
  #lateness(limitMs: number): BerthError {
    const { upload } = this;
    if (upload === null || upload.isComplete || upload.isBlocked) return timeout(limitMs);
    return new BerthError('REQUEST_TIMEOUT', { name: 'wallMs', limit: limitMs });
  }

  // --- ends

  protected stopWaiting(): void {
    this.phase = 'cancelled';
    this.abort?.abort();
  }

  protected cancel(reason: 'client-gone' | 'timeout'): void {
    this.phase = 'cancelled';
    this.upload?.stop();
    this.handle?.cancel(reason);
  }

  /** Ends what never reached a sandbox. */
  protected refuse(error: BerthError, tellTimes: number): void {
    this.answer(error, tellTimes);
    this.finish();
  }

  protected tell(error: BerthError, times: number): void {
    this.error ??= error;
    const { runnable, invocation } = this;
    if (times > 0) this.context.hooks.onFailure?.({ runnable, invocation, error, times });
  }

  /** The sandbox is free of it, or never had it. */
  protected finish(): void {
    if (this.phase === 'over') return;
    const isBodyUnread = this.upload !== null && !this.upload.isComplete && this.phase === 'responded';
    this.phase = 'over';
    this.upload?.stop();
    this.gate?.leave();
    this.context.inFlight -= 1;
    this.context.hooks.onEnd?.(this);
    if (isBodyUnread) this.drainRest();
    if (this.#isClosed) this.context.wheel.remove(this);
    else this.touch();
  }

  /** The function answered without reading all of the body: the caller may send the rest, without any sandbox held. */
  protected drainRest(): void {
    const { wallMs, requestBodyBytes } = this.runnable.limits();
    const maxBytes = requestBodyBytes - this.requestBytes;
    drainBody(this.request, this.context.clock, { maxBytes, lookMs: wallMs, leastBytes: SUBSTANTIAL_BYTES });
  }
}

function onResponseClose(this: Tagged): void {
  this[exchangeKey]?.clientClosed();
}
