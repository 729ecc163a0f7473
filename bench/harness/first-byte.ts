/** One keep-alive connection that measures the time from a request to the first byte of its response. */
import net from 'node:net';
import { once } from 'node:events';

const ANSWER_MS = 30_000;

export interface Answer {
  readonly firstByteMs: number;
  readonly status: number;
}

export class FirstByteClient {
  readonly #socket: net.Socket;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  static async connect(port: number): Promise<FirstByteClient> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect', { signal: AbortSignal.timeout(ANSWER_MS) });
    return new FirstByteClient(socket);
  }

  /** One at a time. @throws Error when the answer is not whole in time, or has no content-length */
  async get(path: string, headers = ''): Promise<Answer> {
    const text = `GET ${path} HTTP/1.1\r\nHost: bench\r\n${headers}\r\n`;
    const signal = AbortSignal.timeout(ANSWER_MS);
    const started = performance.now();
    this.#socket.write(text);
    let received = '';
    let firstByteMs = 0;
    while (!isWhole(received)) {
      const [chunk] = (await once(this.#socket, 'data', { signal })) as [Buffer];
      if (received === '') firstByteMs = performance.now() - started;
      received += chunk.toString('latin1');
    }
    return { firstByteMs, status: Number(received.slice(9, 12)) };
  }

  close(): void {
    this.#socket.destroy();
  }
}

function isWhole(received: string): boolean {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, end));
  if (length === null) throw new Error(`an answer without content-length: ${received.slice(0, end)}`);
  return received.length >= end + 4 + Number(length[1]);
}
