/** What a sandbox has on the host: a directory, a socket, processes. Made once, removed once. */
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { BerthError } from '../contracts/errors.ts';
import type { SandboxId } from '../contracts/ids.ts';
import type { SandboxSpec } from '../drivers/driver.ts';
import { withDeadline } from '../kernel/deadline.ts';
import { type ChannelListener, removeChannelDir } from '../drivers/channel-listener.ts';
import type { SandboxServices } from './services.ts';

/** From the order to the runtime's Hello: 50 ms on an idle host. Shorter than the default queueMs, so that who waits hears the reason. */
const START_MS = 8_000;
const DESTROY_MS = 10_000;
const DESTROY_ATTEMPTS = 3;

export interface StartOrder extends Omit<SandboxSpec, 'id' | 'channelDir'> {
  readonly onCreated: () => void;
  readonly onSocket: (socket: Socket) => void;
}

export class SandboxProcess {
  readonly #services: SandboxServices;
  readonly #id: SandboxId;
  readonly #dir: string;
  readonly #abort = new AbortController();
  readonly #removed = Promise.withResolvers<void>();
  readonly #awake = Promise.withResolvers<void>();
  #listener: ChannelListener | null = null;
  #creating: Promise<void> = Promise.resolve();

  constructor(services: SandboxServices, id: SandboxId) {
    this.#services = services;
    this.#id = id;
    this.#dir = join(services.runDir, id);
    this.#removed.promise.catch(() => undefined);
    this.#awake.promise.catch(() => undefined);
  }

  /** Settles when the whole sandbox is removed. */
  get whenRemoved(): Promise<void> {
    return this.#removed.promise;
  }

  /** Resolves once `started` was called. @throws what went wrong, DeadlinePassed included; the caller then removes it */
  async start(order: StartOrder): Promise<void> {
    await withDeadline(this.#services.clock, START_MS, this.#start(order));
  }

  /** The runtime has said hello, and the limits are in force. */
  started(): void {
    this.#awake.resolve();
  }

  /** Kills and removes all of it; repeats where the driver fails. @throws the driver's last error */
  async remove(): Promise<void> {
    this.#abort.abort();
    this.#awake.resolve();
    const failure = await this.#destroy().then(
      () => null,
      (error: unknown) => ({ error }),
    );
    await this.#removeDir();
    if (failure === null) return this.#removed.resolve();
    this.#removed.reject(failure.error);
    throw failure.error;
  }

  async #start(order: StartOrder): Promise<void> {
    this.#creating = this.#create(order);
    await Promise.all([this.#creating, this.#awake.promise]);
  }

  async #create({ onCreated, onSocket, ...order }: StartOrder): Promise<void> {
    const { driver, listen } = this.#services;
    const listener = await listen(this.#dir);
    this.#listener = listener;
    if (this.#abort.signal.aborted) return;
    listener.connection.then(onSocket).catch((error: unknown) => this.#awake.reject(error));
    await driver.create({ id: this.#id, channelDir: this.#dir, ...order }, this.#abort.signal);
    onCreated();
  }

  async #destroy(): Promise<void> {
    const { driver, clock, log } = this.#services;
    // Aborting makes the driver give up; whatever becomes of it, `destroy` comes after.
    await withDeadline(clock, DESTROY_MS, this.#creating).catch(() => undefined);
    this.#listener?.close();
    for (let attempt = 1; ; attempt++) {
      try {
        return await withDeadline(clock, DESTROY_MS, driver.destroy(this.#id));
      } catch (error) {
        log.error({ err: error, sandbox: this.#id, attempt }, 'a sandbox was not destroyed');
        if (attempt === DESTROY_ATTEMPTS) throw new BerthError('INTERNAL', {}, { cause: error });
      }
    }
  }

  async #removeDir(): Promise<void> {
    try {
      await removeChannelDir(this.#services.runDir, this.#dir);
    } catch (error) {
      this.#services.log.warn(
        { err: error, sandbox: this.#id },
        'the directory of a sandbox was not removed',
      );
    }
  }
}
