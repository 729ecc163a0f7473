/** SOCKS 5 (RFC 1928) without authentication: only the sandbox itself can connect here. CONNECT is all there is. */
import type { Socket } from 'node:net';
import { join, open, type RelayTarget } from './relay.ts';

const VERSION = 5;
const NO_AUTHENTICATION = 0;
const NO_METHOD = 0xff;
const CONNECT = 1;
const AddressType = { v4: 1, name: 3, v6: 4 } as const;
const Reply = {
  ok: 0,
  failed: 1,
  refusedByRules: 2,
  hostUnreachable: 4,
  connectionRefused: 5,
  timedOut: 6,
  noCommand: 7,
  noAddressType: 8,
} as const;
const replies: Readonly<Record<string, number>> = {
  EACCES: Reply.refusedByRules,
  ENOTFOUND: Reply.hostUnreachable,
  EAI_AGAIN: Reply.hostUnreachable,
  ECONNREFUSED: Reply.connectionRefused,
  ETIMEDOUT: Reply.timedOut,
};
/** Greeting and request are shorter. */
const MAX_BYTES = 1_024;
const HEAD_BYTES = 4;
const V4_BYTES = 4;
const V6_BYTES = 16;
const PORT_BYTES = 2;

interface Request {
  readonly target: RelayTarget;
  readonly end: number;
}

/** @param first what the client sent already */
export function serveSocks(client: Socket, first: Buffer): void {
  let input = first;
  let hasGreeted = false;
  const onData = (chunk: Buffer): void => {
    input = Buffer.concat([input, chunk]);
    step();
  };
  const step = (): void => {
    if (input.length > MAX_BYTES) return void client.destroy();
    if (!hasGreeted) {
      const end = 2 + (input[1] ?? MAX_BYTES);
      if (input.length < end) return;
      hasGreeted = true;
      const isFine = input.subarray(2, end).includes(NO_AUTHENTICATION);
      client.write(Buffer.of(VERSION, isFine ? NO_AUTHENTICATION : NO_METHOD));
      if (!isFine) return void client.end();
      input = input.subarray(end);
    }
    const request = requestOf(input);
    if (request === null) return;
    client.off('data', onData).pause();
    if (typeof request === 'number') return refuse(client, request);
    connect(client, request.target, input.subarray(request.end));
  };
  client.on('data', onData);
  step();
}

function connect(client: Socket, target: RelayTarget, rest: Buffer): void {
  const upstream = open(target, {
    failed: ({ code = '' }) => refuse(client, replies[code] ?? Reply.failed),
    opened: () => {
      client.write(reply(Reply.ok));
      if (rest.length > 0) upstream.write(rest);
      join(client, upstream);
    },
  });
  client.once('close', () => upstream.destroy());
}

/** @returns null: more must come; a number: why it is refused */
function requestOf(input: Buffer): Request | number | null {
  const [version, command, , type] = input;
  if (type === undefined) return null;
  if (version !== VERSION) return Reply.failed;
  if (command !== CONNECT) return Reply.noCommand;
  if (type === AddressType.v4)
    return targetOf(input, HEAD_BYTES + V4_BYTES, () =>
      [...input.subarray(HEAD_BYTES, HEAD_BYTES + V4_BYTES)].join('.'),
    );
  if (type === AddressType.v6) return targetOf(input, HEAD_BYTES + V6_BYTES, () => addressOf(input));
  if (type !== AddressType.name) return Reply.noAddressType;
  const end = HEAD_BYTES + 1 + (input[HEAD_BYTES] ?? MAX_BYTES);
  return targetOf(input, end, () => input.toString('latin1', HEAD_BYTES + 1, end));
}

function targetOf(input: Buffer, hostEnd: number, host: () => string): Request | null {
  const end = hostEnd + PORT_BYTES;
  return input.length < end ? null : { target: { host: host(), port: input.readUInt16BE(hostEnd) }, end };
}

function addressOf(input: Buffer): string {
  const groups: string[] = [];
  for (let at = HEAD_BYTES; at < HEAD_BYTES + V6_BYTES; at += 2)
    groups.push(input.readUInt16BE(at).toString(16));
  return groups.join(':');
}

function refuse(client: Socket, code: number): void {
  client.end(reply(code));
}

/** The address that it is bound to is nobody's business. */
function reply(code: number): Buffer {
  return Buffer.of(VERSION, code, 0, AddressType.v4, 0, 0, 0, 0, 0, 0);
}
