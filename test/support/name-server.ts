/** A name server on loopback whose answers a test decides, one by one if it likes (RFC 1035). */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { AddressInfo } from 'node:net';

export type Answer = {
  readonly a?: readonly string[];
  readonly txt?: string;
  readonly mx?: string;
  readonly ptr?: string;
  /** The bytes of the record (RFC 6698, 2.1). */
  readonly tlsa?: readonly number[];
};

const HEADER_BYTES = 12;
const types = { a: 1, ptr: 12, mx: 15, txt: 16, tlsa: 52, any: 255 } as const;
const NO_SUCH_NAME = 3;
const TTL_S = 1;

export class NameServer {
  readonly #socket: Socket;
  /** By name, in small letters. A function is asked anew for each question. */
  readonly names = new Map<string, Answer | (() => Answer)>();
  /** Names that were asked for, in order. */
  readonly asked: string[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async start(): Promise<NameServer> {
    const socket = createSocket('udp4');
    const server = new NameServer(socket);
    socket.on('message', (message, from) => server.#onQuestion(message, from));
    await new Promise<void>((resolve) => {
      socket.bind(0, '127.0.0.1', resolve);
    });
    return server;
  }

  /** `address:port` */
  get address(): string {
    return `127.0.0.1:${(this.#socket.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#socket.close();
  }

  #onQuestion(message: Buffer, from: RemoteInfo): void {
    const { name, end } = readName(message);
    const type = message.readUInt16BE(end);
    this.asked.push(name);
    const known = this.names.get(name);
    const answer = typeof known === 'function' ? known() : known;
    const records = answer === undefined ? [] : recordsOf(answer, type);
    const header = Buffer.alloc(HEADER_BYTES);
    message.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (answer === undefined ? NO_SUCH_NAME : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    const question = message.subarray(HEADER_BYTES, end + 4);
    this.#socket.send(Buffer.concat([header, question, ...records]), from.port, from.address);
  }
}

function readName(message: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = message[at]!; length > 0; length = message[at]!) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function recordsOf(answer: Answer, type: number): Buffer[] {
  if (type === types.any)
    return Object.values(types).flatMap((one) => (one === type ? [] : recordsOf(answer, one)));
  const { a, txt, mx, tlsa, ptr } = answer;
  if (type === types.ptr && ptr !== undefined) return [record(type, nameBytes(ptr))];
  if (type === types.a)
    return (a ?? []).map((address) => record(type, Buffer.from(address.split('.').map(Number))));
  if (type === types.txt && txt !== undefined)
    return [record(type, Buffer.concat([Buffer.of(txt.length), Buffer.from(txt)]))];
  if (type === types.mx && mx !== undefined)
    return [record(type, Buffer.concat([Buffer.of(0, 10), nameBytes(mx)]))];
  if (type === types.tlsa && tlsa !== undefined) return [record(type, Buffer.from(tlsa))];
  return [];
}

/** For the name of the question. */
function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(TTL_S, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function nameBytes(name: string): Buffer {
  return Buffer.concat([
    ...name.split('.').map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)])),
    Buffer.of(0),
  ]);
}
