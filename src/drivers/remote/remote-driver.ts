/**
 * The driver of a server whose supervisor makes the sandboxes: each verb is a message on the socket that the server
 * inherited, each answer is checked. When the supervisor is gone, so are all sandboxes, and every call fails.
 */
import type { Socket } from 'node:net';
import { BerthError } from '../../contracts/errors.ts';
import type { SandboxId, VolumeId } from '../../contracts/ids.ts';
import { systemClock } from '../../kernel/clock.ts';
import { withDeadline } from '../../kernel/deadline.ts';
import type {
  Driver,
  DriverFacts,
  DriverName,
  SandboxExit,
  SandboxLimits,
  SandboxSpec,
  SandboxUsage,
  ServiceSpec,
  StackFrame,
  VolumeSize,
} from '../driver.ts';
import { MessageReader, MessageWriter, ProtocolBreach } from './message-stream.ts';
import {
  type Failure,
  greeting,
  greetingSchema,
  type Reply,
  replySchema,
  type Result,
  resultSchemas,
  type Verb,
} from './protocol.ts';

/** Longer than any driver gives itself for a verb. */
const ANSWER_MS = 60_000;
/** Images may have to be made first. */
const REFRESH_MS = 600_000;

export interface RemoteDriverOptions {
  readonly name: DriverName;
  /** Connected to the supervisor; belongs to the driver from now on. */
  readonly socket: Socket;
  /** Called once when the supervisor is gone, unless the driver was closed. */
  readonly onLost: (reason: Error) => void;
}

interface Waiting {
  readonly verb: Verb;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** What a verb takes besides its name. */
type Facts = Readonly<Record<string, unknown>>;

export function createRemoteDriver(options: RemoteDriverOptions): Driver {
  return new RemoteDriver(options);
}

class RemoteDriver implements Driver {
  readonly name: DriverName;
  readonly #options: RemoteDriverOptions;
  readonly #reader = new MessageReader();
  readonly #writer: MessageWriter;
  readonly #waiting = new Map<number, Waiting>();
  /** Read, but not handled yet. */
  readonly #inbox: unknown[] = [];
  #isPausing = false;
  #isGreeted = false;
  #isClosed = false;
  #lost: Error | null = null;
  #calls = 0;
  #listener: (exit: SandboxExit) => void = () => undefined;

  constructor(options: RemoteDriverOptions) {
    this.name = options.name;
    this.#options = options;
    this.#writer = new MessageWriter(options.socket);
    options.socket
      .on('data', (chunk) => this.#read(chunk))
      .on('error', (error) => this.#lose(error))
      .on('close', () => this.#lose(new Error('the supervisor is gone')));
    this.#writer.write(greeting);
  }

  facts(): Promise<DriverFacts> {
    return this.#ask('facts');
  }

  refresh(): Promise<DriverFacts> {
    return this.#ask('refresh');
  }

  create(spec: SandboxSpec, signal: AbortSignal): Promise<void> {
    const { id, channelDir, limits, heapMb, kind } = spec;
    return this.#start('create', { spec: { id, channelDir, limits, heapMb, kind } }, signal);
  }

  startService(spec: ServiceSpec, signal: AbortSignal): Promise<void> {
    const { id, channelDir, kind, volume, isolation, memoryBytes } = spec;
    const service = { id, channelDir, kind, volume, isolation, memoryBytes };
    return this.#start('startService', { service }, signal);
  }

  async removeVolume(volume: VolumeId): Promise<void> {
    await this.#ask('removeVolume', { volume });
  }

  volumeSizes(): Promise<readonly VolumeSize[]> {
    return this.#ask('volumeSizes');
  }

  async #start(verb: 'create' | 'startService', facts: Facts, signal: AbortSignal): Promise<void> {
    const call = this.#nextCall();
    const cancel = (): void => this.#writer.write({ call, verb: 'cancel' });
    const created = this.#ask(verb, facts, call);
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      await created;
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  async update(id: SandboxId, limits: SandboxLimits): Promise<void> {
    await this.#ask('update', { id, limits });
  }

  async freeze(id: SandboxId): Promise<void> {
    await this.#ask('freeze', { id });
  }

  async thaw(id: SandboxId): Promise<void> {
    await this.#ask('thaw', { id });
  }

  usage(id: SandboxId): Promise<SandboxUsage | null> {
    return this.#ask('usage', { id });
  }

  locate(id: SandboxId): Promise<readonly StackFrame[]> {
    return this.#ask('locate', { id });
  }

  /** Without a supervisor there is nothing left to destroy. */
  async destroy(id: SandboxId): Promise<void> {
    await this.#ask('destroy', { id }).catch((error: unknown) => {
      if (this.#lost === null) throw error;
    });
  }

  onExit(listener: (exit: SandboxExit) => void): void {
    this.#listener = listener;
  }

  recover(): Promise<readonly SandboxId[]> {
    return this.#ask('recover');
  }

  /** Destroys the sandboxes of this server; the supervisor's own driver stays open for the next one. */
  async close(): Promise<void> {
    if (this.#lost !== null) return;
    await this.#ask('close');
    this.#isClosed = true;
    this.#options.socket.destroy();
  }

  // --- calls

  #nextCall(): number {
    this.#calls += 1;
    return this.#calls;
  }

  #ask<V extends Verb>(verb: V, facts: Facts = {}, call = this.#nextCall()): Promise<Result<V>> {
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#lost !== null) return reject(this.#failed(verb, this.#lost));
      this.#waiting.set(call, { verb, resolve, reject });
      this.#writer.write({ call, verb, ...facts });
    });
    const checked = withDeadline(systemClock, verb === 'refresh' ? REFRESH_MS : ANSWER_MS, answer).finally(
      () => this.#waiting.delete(call),
    );
    return checked.then((value) => resultSchemas[verb].parse(value) as Result<V>);
  }

  #failed(verb: Verb, cause: unknown): Error {
    if (verb === 'create') return new BerthError('SANDBOX_START_FAILED', {}, { cause });
    if (verb === 'startService') return new BerthError('SERVICE_START_FAILED', {}, { cause });
    return new Error(`the supervisor did not answer "${verb}"`, { cause });
  }

  // --- answers

  #read(chunk: Buffer): void {
    try {
      this.#inbox.push(...this.#reader.read(chunk));
      this.#handleInbox();
    } catch (error) {
      this.#lose(error instanceof Error ? error : new ProtocolBreach(String(error)));
    }
  }

  /**
   * Who waits for an answer goes on before the exit that follows it is told, and who waits for what follows an exit goes
   * on after it: as with a driver in the same process.
   */
  #handleInbox(): void {
    while (!this.#isPausing && this.#inbox.length > 0) {
      const message = this.#inbox.shift();
      if (!this.#isGreeted) {
        greetingSchema.parse(message);
        this.#isGreeted = true;
        continue;
      }
      const reply = replySchema.parse(message);
      if ('exit' in reply) this.#tellLater(reply.exit);
      else this.#answer(reply);
    }
  }

  #tellLater(exit: SandboxExit): void {
    this.#isPausing = true;
    setImmediate(() => {
      this.#isPausing = false;
      this.#listener(exit);
      this.#read(Buffer.alloc(0));
    });
  }

  #answer(reply: Exclude<Reply, { exit: unknown }>): void {
    const waiting = this.#waiting.get(reply.call);
    if (waiting === undefined) return;
    if ('failure' in reply) waiting.reject(asError(reply.failure));
    else waiting.resolve(reply.value);
  }

  #lose(reason: Error): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#options.socket.destroy();
    for (const { verb, reject } of this.#waiting.values()) reject(this.#failed(verb, reason));
    if (!this.#isClosed) this.#options.onLost(reason);
  }
}

function asError({ code, message }: Failure): Error {
  return code === null ? new Error(message) : new BerthError(code, {}, { cause: message });
}
