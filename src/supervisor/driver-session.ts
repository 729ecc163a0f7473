/**
 * One server's use of the driver. The server parses what tenants send and may be compromised: so every message is held
 * against its schema, a sandbox gets no other directory than its own, and the first breach ends the session. When it
 * ends, for whatever reason, no sandbox of that server is left.
 */
import type { Socket } from 'node:net';
import { BerthError } from '../contracts/errors.ts';
import type { SandboxId } from '../contracts/ids.ts';
import { allApplied } from '../drivers/all-applied.ts';
import type { Driver, SandboxExit } from '../drivers/driver.ts';
import type { DriverLog } from '../drivers/driver-log.ts';
import { MessageReader, MessageWriter, ProtocolBreach } from '../drivers/remote/message-stream.ts';
import {
  factsMessage,
  type Failure,
  failureOf,
  greeting,
  greetingSchema,
  type Request,
  requestSchema,
} from '../drivers/remote/protocol.ts';
import { type ChannelFolder, HostileChannel } from './channel-folder.ts';

/** Calls without an answer yet; an honest server has a few for each sandbox. */
const MAX_OPEN_CALLS = 10_000;
/** Services of all tenants at the same time; each is a container with a program that was not made for small ones. */
const MAX_SERVICES = 1_000;
/** Answers that the server does not fetch. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;
/** To destroy what a server leaves; then it is for the driver's `close` and the next start. */
const END_ATTEMPTS = 3;

export interface DriverSessionOptions {
  readonly socket: Socket;
  readonly driver: Driver;
  readonly channels: ChannelFolder;
  readonly maxSandboxes: number;
  readonly log: DriverLog;
  /** The server broke the protocol: it is to be ended. Called at most once. */
  readonly onBreach: () => void;
}

type Call<V extends Request['verb']> = Extract<Request, { verb: V }>;

export class DriverSession {
  readonly #options: DriverSessionOptions;
  readonly #reader = new MessageReader();
  readonly #writer: MessageWriter;
  readonly #creating = new Map<number, AbortController>();
  /** With the services, which are containers like them. */
  readonly #sandboxes = new Set<SandboxId>();
  readonly #services = new Set<SandboxId>();
  #openCalls = 0;
  #isGreeted = false;
  #hasEnded = false;

  constructor(options: DriverSessionOptions) {
    this.#options = options;
    this.#writer = new MessageWriter(options.socket);
    options.driver.onExit((exit) => this.#exited(exit));
    options.socket
      .on('data', (chunk) => this.#read(chunk))
      // The server's end is what its process tells; there is nothing to add.
      .on('error', () => undefined);
    this.#writer.write(greeting);
  }

  /** Answers nothing any more and destroys every sandbox of the server. Idempotent; never rejects. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    const { socket, log } = this.#options;
    socket.destroy();
    for (let attempt = 1; attempt <= END_ATTEMPTS; attempt++) {
      const error = await this.#destroyAll().then(
        () => null,
        (reason: unknown) => reason,
      );
      if (error === null) return;
      log.warn({ err: error, attempt }, 'a sandbox of a server that ended was not removed');
    }
  }

  // --- the line

  #read(chunk: Buffer): void {
    if (this.#hasEnded) return;
    try {
      for (const message of this.#reader.read(chunk)) this.#receive(message);
    } catch (error) {
      this.#breach(error);
    }
  }

  #receive(message: unknown): void {
    if (!this.#isGreeted) {
      greetingSchema.parse(message);
      this.#isGreeted = true;
      return;
    }
    const request = requestSchema.parse(message);
    if (request.verb === 'cancel') return this.#creating.get(request.call)?.abort();
    if (this.#openCalls >= MAX_OPEN_CALLS) throw new ProtocolBreach('too many calls at the same time');
    if (this.#writer.waitingBytes > MAX_UNREAD_BYTES) throw new ProtocolBreach('answers are not read');
    void this.#answer(request);
  }

  /** Never rejects. */
  async #answer(request: Request): Promise<void> {
    const { call } = request;
    this.#openCalls += 1;
    try {
      const value = (await this.#perform(request)) ?? null;
      this.#writer.write({ call, value });
    } catch (error) {
      if (error instanceof ProtocolBreach || error instanceof HostileChannel) return this.#breach(error);
      this.#writer.write({ call, failure: failureIn(error) });
    } finally {
      this.#openCalls -= 1;
    }
  }

  #breach(error: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.log.warn({ err: error }, 'the server broke the protocol of the supervisor; it is ended');
    this.#options.socket.destroy();
    this.#options.onBreach();
  }

  // --- verbs

  async #perform(request: Request): Promise<unknown> {
    const { driver } = this.#options;
    switch (request.verb) {
      case 'facts':
        return factsMessage(await driver.facts());
      case 'refresh':
        return factsMessage(await driver.refresh());
      case 'create':
        return await this.#create(request);
      case 'startService':
        return await this.#startService(request);
      case 'removeVolume':
        return await driver.removeVolume(request.volume);
      case 'volumeSizes':
        return await driver.volumeSizes();
      case 'update':
        return await driver.update(request.id, request.limits);
      case 'freeze':
        return await driver.freeze(request.id);
      case 'thaw':
        return await driver.thaw(request.id);
      case 'usage':
        return await driver.usage(request.id);
      case 'locate':
        return await driver.locate(request.id);
      case 'destroy':
        return await this.#destroy(request.id);
      case 'recover':
        return await driver.recover();
      case 'close':
        return await this.#destroyAll();
      case 'cancel':
        return undefined;
    }
  }

  async #create({ call, spec }: Call<'create'>): Promise<void> {
    const { maxSandboxes, driver } = this.#options;
    this.#admit(spec);
    if (this.#sandboxes.size - this.#services.size >= maxSandboxes)
      throw notStarted(`maxSandboxes (${maxSandboxes}) is reached`);
    await this.#make(call, spec.id, (signal) => driver.create(spec, signal));
  }

  async #startService({ call, service }: Call<'startService'>): Promise<void> {
    this.#admit(service);
    if (this.#services.size >= MAX_SERVICES)
      throw new BerthError('SERVICE_START_FAILED', {}, { cause: `${MAX_SERVICES} services run already` });
    this.#services.add(service.id);
    await this.#make(call, service.id, (signal) => this.#options.driver.startService(service, signal));
  }

  async #make(call: number, id: SandboxId, make: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    this.#sandboxes.add(id);
    this.#creating.set(call, abort);
    try {
      this.#options.channels.claim(id);
      await make(abort.signal);
    } catch (error) {
      this.#forget(id);
      throw error;
    } finally {
      this.#creating.delete(call);
    }
  }

  #admit({ id, channelDir }: { readonly id: SandboxId; readonly channelDir: string }): void {
    if (channelDir !== this.#options.channels.pathOf(id))
      throw new ProtocolBreach(`${channelDir} is not the channel directory of ${id}`);
    if (this.#sandboxes.has(id)) throw notStarted('the id is in use');
  }

  async #destroy(id: SandboxId): Promise<void> {
    if (!this.#sandboxes.has(id)) return;
    await this.#options.driver.destroy(id);
    this.#forget(id);
  }

  async #destroyAll(): Promise<void> {
    for (const abort of this.#creating.values()) abort.abort();
    await allApplied([...this.#sandboxes].map((id) => this.#destroy(id)));
  }

  #exited(exit: SandboxExit): void {
    if (!this.#sandboxes.has(exit.id)) return;
    this.#forget(exit.id);
    if (!this.#hasEnded) this.#writer.write({ exit });
  }

  /** The directory goes with the sandbox: it belongs to the supervisor, and the server could not remove it. */
  #forget(id: SandboxId): void {
    this.#services.delete(id);
    if (!this.#sandboxes.delete(id)) return;
    try {
      this.#options.channels.remove(id);
    } catch (error) {
      this.#options.log.warn(
        { sandbox: id, err: error },
        'the channel directory of a sandbox was not removed',
      );
    }
  }
}

function notStarted(cause: string): BerthError {
  return new BerthError('SANDBOX_START_FAILED', {}, { cause });
}

/** The code for who asked, and the reason for the log of the server. */
function failureIn(error: unknown): Failure {
  return error instanceof BerthError ? failureOf(error.cause ?? error, error.code) : failureOf(error, null);
}
