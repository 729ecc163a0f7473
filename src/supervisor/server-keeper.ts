/**
 * Keeps one server running: starts it, serves its driver, and when it ends without being asked to, removes its sandboxes
 * and starts another. The first one must get ready; later ones are tried again with a growing pause.
 */
import type { Clock } from '../kernel/clock.ts';
import type { ServerExit, ServerProcess } from './server-process.ts';

/** From its start until it serves; half a second on an idle host. */
const READY_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 2_000;
/** Who served for so long has not failed at its start. */
const CALM_MS = 10_000;
/** In a row; then whoever runs the supervisor may try. */
const MAX_FAILURES = 20;

export interface KeeperLog {
  info(facts: object, text: string): void;
  error(facts: object, text: string): void;
}

export interface ServerKeeperOptions {
  readonly start: (isRestart: boolean) => Promise<ServerProcess>;
  /** Serves the driver to it. `onBreach` is called when it breaks the protocol. */
  readonly serve: (server: ServerProcess, onBreach: () => void) => { end(): Promise<void> };
  /** Between two servers, and after the last: nothing of the last one is left. */
  readonly cleanUp: () => void;
  readonly clock: Clock;
  readonly log: KeeperLog;
}

export class ServerKeeper {
  readonly #options: ServerKeeperOptions;
  readonly #stopped = Promise.withResolvers<void>();
  #server: ServerProcess | null = null;
  #stopSignal: NodeJS.Signals | null = null;
  #failures = 0;
  #hasServed = false;

  constructor(options: ServerKeeperOptions) {
    this.#options = options;
  }

  /** Until the server has been stopped, or is given up. @returns the exit code of the platform */
  async run(): Promise<number> {
    for (;;) {
      const startedAt = this.#now();
      const exit = await this.#runOnce();
      if (this.#stopSignal !== null) return exit.signal === null ? (exit.code ?? 1) : 0;
      if (!this.#hasServed) return exit.code ?? 1;
      this.#failures = this.#now() - startedAt < CALM_MS ? this.#failures + 1 : 0;
      this.#options.log.error({ ...exit, failures: this.#failures }, 'the server ended; another is started');
      if (this.#failures > MAX_FAILURES) return exit.code || 1;
      await this.#pause();
      if (this.#stopSignal !== null) return 0;
    }
  }

  /** Lets the server finish and end. */
  stop(signal: NodeJS.Signals): void {
    this.#stopSignal = signal;
    this.#server?.kill(signal);
    this.#stopped.resolve();
  }

  /** At once. */
  kill(): void {
    this.#server?.kill('SIGKILL');
  }

  async #runOnce(): Promise<ServerExit> {
    const { start, serve, cleanUp, clock, log } = this.#options;
    const server = await start(this.#hasServed);
    this.#server = server;
    if (this.#stopSignal !== null) server.kill(this.#stopSignal);
    const session = serve(server, () => server.kill('SIGKILL'));
    const cancel = clock.after(READY_MS, () => {
      log.error({}, `the server did not get ready within ${READY_MS} ms; it is ended`);
      server.kill('SIGKILL');
    });
    void server.ready.then(() => {
      cancel();
      this.#hasServed = true;
    });
    const exit = await server.exited;
    cancel();
    this.#server = null;
    await session.end();
    cleanUp();
    return exit;
  }

  async #pause(): Promise<void> {
    if (this.#failures === 0) return;
    const ms = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1));
    await Promise.race([
      this.#stopped.promise,
      new Promise<void>((resolve) => {
        this.#options.clock.after(ms, resolve);
      }),
    ]);
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}
