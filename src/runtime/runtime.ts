/** The runtime itself: one channel, at most one revision, its invocations. Where it reads from and writes to is given. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { PROTOCOL_VERSION, type Loaded } from '../contracts/frames.ts';
import { decodeLoad } from '../kernel/frame-heads.ts';
import type { FrameSink } from '../kernel/frame-writer.ts';
import { RuntimeChannel } from './channel.ts';
import { chooseForm, isEmpty } from './choose-form.ts';
import { EgressPort } from './egress/egress-port.ts';
import { setEnvironment } from './environment.ts';
import { evaluate, type Code, type Evaluated } from './evaluate.ts';
import type { Exchange } from './exchange.ts';
import { failureOf, reasonOf, stackOf } from './failure-text.ts';
import { moduleWebtask } from './forms/webtask-context.ts';
import type { ListenTrap } from './listen-trap.ts';
import { LogSink } from './log-sink.ts';
import { FormUnknown, type ChosenForm, type Handler } from './program.ts';
import { installStackMapper } from './stack-mapper.ts';
import { holdWebClasses } from './web-classes.ts';

/** Code that exports nothing may yet call `listen`, after its own start-up. */
const WAIT_FOR_LISTEN_MS = 2_000;

export interface RuntimeOptions {
  readonly sink: FrameSink;
  readonly trap: ListenTrap;
  /** milliseconds, monotonic */
  readonly now: () => number;
  /** False while warming up: nothing of the process is changed. */
  readonly ownsProcess: boolean;
  /** What the runtime does while it waits for code. */
  readonly exercise: { start(withFetch: boolean): void; stop(): Promise<void> };
  /** Once, after the first invocation of the code has ended. */
  readonly onFirstOver: () => void;
  /** An error that nobody caught. */
  readonly onUncaught: (thrown: unknown) => void;
}

export class Runtime {
  readonly channel: RuntimeChannel;
  readonly log: LogSink;
  readonly egress: EgressPort;
  readonly #options: RuntimeOptions;
  readonly #current = new AsyncLocalStorage<Exchange>();
  #handler: Handler | null = null;
  /** Requests that came before the code was loaded; the host bounds them. */
  #waiting: Exchange[] = [];
  #isLoading = false;
  #hasServed = false;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.channel = new RuntimeChannel(options.sink, {
      onLoad: (payload) => void this.#load(payload),
      onExercise: (withFetch) => options.exercise.start(withFetch),
      onRequest: (exchange) => this.#onRequest(exchange),
      onOver: this.#onOver,
      onEgress: (type, flags, stream, payload) => this.egress.onFrame(type, flags, stream, payload),
      onStrayError: (thrown) => this.#logError(thrown),
      within: (exchange, action) => this.#current.run(exchange, () => this.#guarded(action)),
    });
    this.log = new LogSink({
      send: (type, flags, stream, payload) => this.channel.send(type, flags, stream, payload),
      currentStream: () => this.#current.getStore()?.stream ?? 0,
      now: options.now,
    });
    this.egress = new EgressPort({
      send: (type, flags, stream, payload) => this.channel.send(type, flags, stream, payload),
      currentInvocation: () => this.#current.getStore()?.stream ?? 0,
      onUncaught: options.onUncaught,
    });
  }

  hello(): void {
    this.channel.hello({ version: PROTOCOL_VERSION, node: process.version });
  }

  /** Bytes from the host. @throws MalformedFrame */
  receive(chunk: Buffer): void {
    this.channel.receive(chunk);
  }

  /** Runs outside of any invocation. */
  detached<T>(action: () => T): T {
    return this.#current.exit(action);
  }

  #onRequest(exchange: Exchange): void {
    if (this.#handler === null) this.#waiting.push(exchange);
    else this.#current.run(exchange, this.#start, exchange, this.#handler);
  }

  /** An invocation that was cancelled before there was any code does not count. */
  readonly #onOver = (): void => {
    if (this.#hasServed || this.#handler === null) return;
    this.#hasServed = true;
    // In a turn of its own: this one may stand deep in the tenant's stack.
    setImmediate(this.#options.onFirstOver);
  };

  readonly #start = (exchange: Exchange, handler: Handler): void => {
    try {
      handler(exchange);
    } catch (error) {
      exchange.fail(error);
    }
  };

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.onUncaught(error);
    }
  }

  async #load(payload: Buffer): Promise<void> {
    if (this.#isLoading) return;
    this.#isLoading = true;
    await this.#options.exercise.stop();
    const code = decodeLoad(payload);
    this.log.setLimits(code.spec.limits);
    this.channel.responseHeaderBytes = code.spec.limits.responseHeaderBytes;
    try {
      const { form, handler, bytecode } = await this.#prepare(code);
      this.#handler = handler;
      this.channel.loaded({ ok: true, form, ...(bytecode === null ? {} : { bytecode }) });
    } catch (error) {
      this.channel.loaded(loadFailure(error));
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const exchange of waiting) if (!exchange.isOver) this.#onRequest(exchange);
  }

  async #prepare(code: Code): Promise<ChosenForm & Pick<Evaluated, 'bytecode'>> {
    const { spec, sourceMap } = code;
    holdWebClasses(spec.form);
    if (this.#options.ownsProcess) {
      setEnvironment(spec);
      if (sourceMap !== null) installStackMapper(spec.filename, sourceMap);
    }
    const evaluated = await evaluate(code, moduleWebtask(spec));
    const { trap } = this.#options;
    const server = isEmpty(evaluated) ? await trap.waitForFirst(WAIT_FOR_LISTEN_MS) : trap.first;
    // Not `return chooseForm(…)`: a promise that an async function returns is asked for its `then`, and that may be the
    // tenant's by now.
    const chosen = await chooseForm(evaluated, server, {
      spec,
      logError: (thrown) => this.#logError(thrown),
    });
    return { form: chosen.form, handler: chosen.handler, bytecode: evaluated.bytecode };
  }

  #logError(thrown: unknown): void {
    this.log.log('error', stackOf(thrown) ?? reasonOf(thrown));
  }
}

function loadFailure(error: unknown): Loaded {
  const { reason, stack } = failureOf('FUNCTION_FAILED', error);
  if (error instanceof FormUnknown) return { ok: false, code: 'FORM_UNKNOWN', reason: error.message };
  return { ok: false, code: 'LOAD_FAILED', reason, ...(stack === undefined ? {} : { stack }) };
}
