/** Two ends of a connection inside this process. What is written at one end is copied: whoever wrote it may use its memory anew. */
import { Duplex } from 'node:stream';

const HIGH_WATER_BYTES = 64 * 1024;

class End extends Duplex {
  /** Seen by who takes this for a TCP connection. */
  readonly remoteAddress = '127.0.0.1';
  #other: End | null = null;
  /** The other end's write that waits until this one reads. */
  #taken: (() => void) | null = null;
  /** All that the other end had to say has come; whoever is slow reads it when that one is gone. */
  #isComplete = false;

  constructor() {
    super({ allowHalfOpen: true, highWaterMark: HIGH_WATER_BYTES });
  }

  join(other: End): void {
    this.#other = other;
    this.once('close', () => other.#gone());
  }

  override _read(): void {
    const taken = this.#taken;
    this.#taken = null;
    taken?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const other = this.#other!;
    if (other.destroyed || other.push(Buffer.from(chunk))) done();
    else other.#taken = done;
  }

  override _final(done: () => void): void {
    const other = this.#other!;
    other.#isComplete = true;
    other.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this._read();
    done(error);
  }

  /** As a socket has it, for who must not take what came for the whole. */
  resetAndDestroy(): this {
    this.#other!.destroy(reset());
    return this.destroy();
  }

  /** After an orderly end of the other one it is this one's own to close; anything else is a reset. */
  #gone(): void {
    if (!this.destroyed && !this.#isComplete) this.destroy(reset());
  }
}

export function memoryConnection(): readonly [Duplex, Duplex] {
  const [one, other] = [new End(), new End()];
  one.join(other);
  other.join(one);
  return [one, other];
}

function reset(): Error {
  return Object.assign(new Error('the other end was closed'), { code: 'ECONNRESET' });
}
