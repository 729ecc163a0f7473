/** Messages on a byte stream: four bytes of length (big endian), then that many bytes of JSON in UTF-8. */
import type { Duplex } from 'node:stream';

/** The largest that is sent is the place of a loop, a few hundred stack frames. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;
const LENGTH_BYTES = 4;

/** The other side does not keep to the protocol; the line is to be cut. */
export class ProtocolBreach extends Error {
  override readonly name = 'ProtocolBreach';
}

/** Cuts bytes into messages, whatever pieces they come in. Holds one message at most. */
export class MessageReader {
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Of the message that is being read; null while its length is not known. */
  #length: number | null = null;

  /** @returns the messages that are complete now. @throws ProtocolBreach for one that is too long or no JSON */
  *read(chunk: Buffer): Generator<unknown> {
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
    for (;;) {
      this.#length ??= this.#takeLength();
      if (this.#length === null || this.#bytes < this.#length) return;
      const body = this.#take(this.#length);
      this.#length = null;
      yield parse(body);
    }
  }

  #takeLength(): number | null {
    if (this.#bytes < LENGTH_BYTES) return null;
    const length = this.#take(LENGTH_BYTES).readUInt32BE();
    if (length > MAX_MESSAGE_BYTES) throw new ProtocolBreach(`a message of ${length} bytes`);
    return length;
  }

  #take(length: number): Buffer {
    const all = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    this.#pieces = [all.subarray(length)];
    this.#bytes = all.length - length;
    return all.subarray(0, length);
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new ProtocolBreach('a message that is no JSON', { cause: error });
  }
}

/** Writes messages; those that are written at one go leave in one system call. */
export class MessageWriter {
  readonly #stream: Duplex;
  #isCorked = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  /** Said but not yet taken by the other side. */
  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  /** Dropped when the stream has ended. @throws RangeError when the message is longer than any may be */
  write(message: object): void {
    if (!this.#stream.writable) return;
    const body = Buffer.from(JSON.stringify(message));
    if (body.length > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${body.length} bytes`);
    this.#cork();
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(body.length);
    this.#stream.write(length);
    this.#stream.write(body);
  }

  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#stream.uncork();
    });
  }
}
