/**
 * The platform's end of the connection that a service's keeper makes: a client of HTTP/2, whose streams carry connections
 * to the service. What comes over it is hostile: whoever may run programs in the service's container may speak here.
 */
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Duplex } from 'node:stream';
import { PacedConnection, type PacedConnectionOptions } from './paced-connection.ts';
import { SERVICE_SESSION_MEGABYTES, type ServiceStart } from '../contracts/services.ts';

const MAX_HEADERS = 16;
const MAX_ENDING_CHARACTERS = 100;
/** Longer than a keeper stays that has said how the service ended. */
const HANG_UP_MS = 2_000;
const OK = 200;
/** A name for the one place where a stream can lead. */
const AUTHORITY = 'service';

/** The keeper, or the service behind it, did not do what it was asked; the message may be shown to the tenant. */
export class ServiceChannelError extends Error {
  override readonly name = 'ServiceChannelError';
}

export interface StartedService {
  /** What it writes: hostile text. Has to be read, or the service stops writing. */
  readonly output: Duplex;
  /** How it ended, when it has said so: `exit code 1`. */
  readonly ending: () => string | null;
}

export class ServiceChannel {
  readonly #connection: PacedConnection;
  readonly #session: ClientHttp2Session;
  readonly #clock: PacedConnectionOptions['clock'];
  readonly #closed = Promise.withResolvers<void>();

  /** Its socket is the keeper's, and belongs to the channel from now on. */
  constructor(options: PacedConnectionOptions) {
    const connection = new PacedConnection(options);
    this.#connection = connection;
    this.#clock = options.clock;
    this.#session = connect(`http://${AUTHORITY}`, {
      createConnection: () => connection,
      settings: { enablePush: false },
      maxSessionMemory: SERVICE_SESSION_MEGABYTES,
      maxHeaderListPairs: MAX_HEADERS,
      maxReservedRemoteStreams: 0,
    });
    // Its end, in whatever way, is the end of the service.
    this.#session.on('error', () => this.#session.destroy());
    this.#session.once('close', () => this.#closed.resolve());
  }

  /** Resolves when the keeper is gone. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get isClosed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  /** Resolves when the program has been started. @throws ServiceChannelError */
  async start(start: ServiceStart, signal: AbortSignal): Promise<StartedService> {
    const stream = this.#request({ ':method': 'POST', ':path': '/start' });
    let ending: string | null = null;
    stream.on('trailers', (headers: IncomingHttpHeaders) => {
      ending = String(headers['ending'] ?? '').slice(0, MAX_ENDING_CHARACTERS);
      this.#hangUp();
    });
    stream.end(JSON.stringify(start));
    await answered(stream, signal);
    return { output: stream, ending: () => ending };
  }

  /** A connection to the service's port. @throws ServiceChannelError when it does not listen */
  async connect(signal: AbortSignal): Promise<Duplex> {
    const stream = this.#request({ ':method': 'CONNECT', ':authority': AUTHORITY });
    await answered(stream, signal);
    return stream;
  }

  close(): void {
    this.#session.destroy();
  }

  /** Tells the keeper, which stays until then, that its last words were read. One that stays all the same is left. */
  #hangUp(): void {
    const cancel = this.#clock.after(HANG_UP_MS, () => this.#connection.destroy());
    this.#session.once('close', cancel);
    this.#session.close();
  }

  #request(headers: Record<string, string>): ReturnType<ClientHttp2Session['request']> {
    if (this.isClosed) throw new ServiceChannelError('the service has ended');
    const stream = this.#session.request(headers, { endStream: false });
    // Told by its end; who uses the stream listens as well.
    stream.on('error', () => stream.destroy());
    return stream;
  }
}

function answered(stream: ReturnType<ClientHttp2Session['request']>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void stream.close(constants.NGHTTP2_CANCEL);
    const settle = (): void => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    stream.once('close', () => {
      settle();
      reject(new ServiceChannelError('the service does not answer'));
    });
    stream.once('response', (headers) => {
      settle();
      if (headers[':status'] === OK) return resolve();
      stream.close(constants.NGHTTP2_CANCEL);
      reject(new ServiceChannelError('the service does not listen'));
    });
  });
}
