/** One run of a service: its container, the keeper's channel, and the end of both. */
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { BerthError } from '../contracts/errors.ts';
import type { SandboxId } from '../contracts/ids.ts';
import type { IsolationTier } from '../contracts/isolations.ts';
import type { ServiceRecord } from '../contracts/model.ts';
import {
  fillPlaces,
  type ServiceDefinition,
  SERVICE_SUFFIX,
  type ServiceFacts,
} from '../contracts/services.ts';
import { type Listen, removeChannelDir } from '../drivers/channel-listener.ts';
import type { Driver } from '../drivers/driver.ts';
import { cleanText } from '../kernel/clean-text.ts';
import type { Clock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import type { ServiceEvent } from './services.ts';
import type { StartTurns } from './start-turns.ts';
import { ServiceChannel, type StartedService } from './service-channel.ts';

/** From its turn to the first connection that is taken; a database makes its files in that time. */
const START_MS = 50_000;
/** One that is not ready by then starts on without a turn: it does not hold up the others for as long as it may take. */
const TURN_MS = 5_000;
const READY_LOOK_MS = 50;
const DESTROY_MS = 30_000;
const DESTROY_ATTEMPTS = 3;
const MAX_SAID_BYTES = 2_048;
/** How it ended comes after it says that it will close, or with it. */
const LAST_WORDS_MS = 2_000;
/** Between two pieces of what it writes (64 KiB at most): it costs the platform little, however much it is. */
const OUTPUT_PAUSE_MS = 20;

export interface ServiceLog {
  info(facts: object, text: string): void;
  warn(facts: object, text: string): void;
  error(facts: object, text: string): void;
}

export interface RunOptions {
  readonly driver: Pick<Driver, 'startService' | 'destroy'>;
  readonly listen: Listen;
  readonly newId: () => SandboxId;
  readonly runDir: string;
  readonly clock: Clock;
  readonly log: ServiceLog;
  readonly observe: (event: ServiceEvent) => void;
  readonly turns: StartTurns;
}

export interface RunOrder {
  readonly record: ServiceRecord;
  readonly definition: ServiceDefinition;
  readonly isolation: IsolationTier;
}

export function factsOfService(
  { name, password, memoryBytes }: ServiceRecord,
  { port }: Pick<ServiceDefinition, 'port'>,
): ServiceFacts {
  return { password, memoryBytes, port, host: `${name}${SERVICE_SUFFIX}` };
}

export class ServiceRun {
  readonly #options: RunOptions;
  readonly #order: RunOrder;
  readonly #id: SandboxId;
  readonly #dir: string;
  readonly #abort = new AbortController();
  #channel: ServiceChannel | null = null;
  #started: StartedService | null = null;
  #said = '';
  #ending: Promise<void> | null = null;
  #isAbandoned = false;
  #wasPaused = false;

  constructor(options: RunOptions, order: RunOrder) {
    this.#options = options;
    this.#order = order;
    this.#id = options.newId();
    this.#dir = join(options.runDir, this.#id);
  }

  /** Waits for its turn. Resolves when it takes connections. @throws BerthError; nothing is left of it then */
  async start(): Promise<void> {
    const { log } = this.#options;
    const { tenant, name } = this.#order.record;
    try {
      await this.#startInTurn();
    } catch (error) {
      if (this.#channel?.isClosed === true)
        await withDeadline(this.#options.clock, LAST_WORDS_MS, this.#channel.closed).catch(() => undefined);
      const said = this.lastWords;
      // The driver does not know what the service is called: its error has only the cause to tell.
      const err = error instanceof BerthError ? (error.cause ?? error) : error;
      log.warn({ tenant, service: name, err, said }, 'a service did not start');
      await this.end();
      throw this.#failure(error, said);
    }
  }

  /** It is not wanted any more: `start` fails at once. */
  abort(): void {
    this.#isAbandoned = true;
    this.#abort.abort();
  }

  /** `abort` was called. */
  get isAbandoned(): boolean {
    return this.#isAbandoned;
  }

  /** Resolves when it has ended, by whomever. Not before `start` has resolved. */
  async ended(): Promise<void> {
    await this.#channel?.closed;
  }

  /** The end of what it wrote, and how it ended; for the operator. */
  get lastWords(): string {
    const said = `${this.#said}${this.#started?.ending() ?? ''}`;
    // Programs quote their configuration when they complain of it.
    return cleanText(said.replaceAll(this.#order.record.password, '[password]'), MAX_SAID_BYTES);
  }

  connect(signal: AbortSignal): Promise<Duplex> {
    if (this.#channel === null) throw new Error('the service has not started');
    return this.#channel.connect(signal);
  }

  /** Lets it end in order, then removes it. Repeatable. @throws Error when the driver could not remove it */
  async end(): Promise<void> {
    this.#ending ??= this.#end().catch((error: unknown) => {
      this.#ending = null;
      throw error;
    });
    await this.#ending;
  }

  async #startInTurn(): Promise<void> {
    const { clock, turns } = this.#options;
    const leave = await turns.take(this.#abort.signal);
    const cancel = clock.after(TURN_MS, leave);
    try {
      await withDeadline(clock, START_MS, this.#start());
    } finally {
      cancel();
      leave();
    }
  }

  async #start(): Promise<void> {
    const { driver, listen } = this.#options;
    const { record, definition, isolation } = this.#order;
    const { kind, volume, memoryBytes } = record;
    const listener = await listen(this.#dir);
    this.#abort.signal.addEventListener('abort', () => listener.close(), { once: true });
    try {
      const spec = { id: this.#id, channelDir: this.#dir, kind, volume, isolation, memoryBytes };
      await driver.startService(spec, this.#abort.signal);
      const socket = await withDeadline(this.#options.clock, START_MS, listener.connection);
      this.#channel = new ServiceChannel({
        socket,
        clock: this.#options.clock,
        onPause: () => this.#onPause(),
      });
    } finally {
      listener.close();
    }
    const facts = factsOfService(record, definition);
    const env = Object.fromEntries(
      Object.entries(definition.env).map(([name, value]) => [name, fillPlaces(value, facts)]),
    );
    const input = fillPlaces(definition.input, facts);
    const start = { env, input, stopSignal: definition.stopSignal };
    this.#started = await this.#channel.start(start, this.#abort.signal);
    this.#listenTo(this.#started.output);
    await this.#ready(this.#channel);
  }

  #onPause(): void {
    const { log, observe } = this.#options;
    observe({ kind: 'paused' });
    if (this.#wasPaused) return;
    this.#wasPaused = true;
    const { tenant, name } = this.#order.record;
    log.warn({ tenant, service: name }, 'a service sends more frames than any use has need of; it is slowed');
  }

  #listenTo(output: Duplex): void {
    output.setEncoding('utf8');
    output.on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-MAX_SAID_BYTES);
      output.pause();
      this.#options.clock.after(OUTPUT_PAUSE_MS, () => output.resume());
    });
  }

  /** It takes a connection. @throws Error when it ends before */
  async #ready(channel: ServiceChannel): Promise<void> {
    while (!channel.isClosed && !this.#abort.signal.aborted) {
      const connection = await channel.connect(this.#abort.signal).catch(() => null);
      if (connection !== null) return void connection.destroy();
      await sleep(READY_LOOK_MS);
    }
    throw new Error('it ended');
  }

  async #end(): Promise<void> {
    const { driver, clock, log, runDir } = this.#options;
    this.#abort.abort();
    for (let attempt = 1; ; attempt++) {
      try {
        // The driver asks it to end, and waits; its channel goes with it.
        await withDeadline(clock, DESTROY_MS, driver.destroy(this.#id));
        break;
      } catch (error) {
        log.error({ err: error, service: this.#order.record.name, attempt }, 'a service was not removed');
        if (attempt === DESTROY_ATTEMPTS) throw error;
      }
    }
    this.#channel?.close();
    await removeChannelDir(runDir, this.#dir);
  }

  /** What the caller may know of it. */
  #failure(error: unknown, said: string): BerthError {
    const { record, definition } = this.#order;
    const cause = { cause: error };
    if (error instanceof BerthError) {
      if (error.code === 'SERVICE_IMAGE_MISSING')
        return new BerthError(error.code, { image: definition.image }, cause);
      if (error.code === 'SERVICES_UNAVAILABLE')
        return new BerthError(error.code, { reason: 'its driver makes no containers' }, cause);
    }
    const reason = said === '' ? 'its container did not get ready' : `it wrote "${said.trim()}"`;
    return new BerthError('SERVICE_START_FAILED', { service: record.name, reason }, cause);
  }
}
