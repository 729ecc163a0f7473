/**
 * What the runtime uses of Node beneath its public interface, all in one place. The Node of sandboxes is pinned, and each
 * of these is covered by test/integration/egress-*.test.ts, so a new Node that changes one is noticed.
 *
 * - `JSStream` (lib/internal/js_stream_socket.js): a stream that TLS and HTTP/2 take for a socket's handle.
 * - `kReinitializeHandle` (lib/net.js): gives a socket another handle, as Happy Eyeballs does between two attempts.
 * - `getaddrinfo`, `getnameinfo` and `ChannelWrap` (lib/dns.js): what all look-ups of `node:dns` end in.
 * - `Process` (lib/internal/child_process.js): what starts all child processes.
 */
import net from 'node:net';

/** A write or shutdown that Node waits for. */
export type StreamRequest = object;

export interface JsStreamHandle {
  readBuffer(chunk: Uint8Array): void;
  emitEOF(): void;
  finishWrite(request: StreamRequest, status: number): void;
  finishShutdown(request: StreamRequest, status: number): void;
  [name: string]: unknown;
}

export interface ConnectRequest {
  // oxlint-disable-next-line max-params -- Node's own signature
  oncomplete(status: number, handle: object, request: object, isReadable: boolean, isWritable: boolean): void;
}

/** Of `dns.lookup`, `dns.lookupService` and `dns.resolve*`: with a callback or a promise. */
export interface NameRequest {
  /** @param more time to live of each address, or the name of a service */
  oncomplete(error: number | string | null, result?: unknown, more?: readonly number[] | string): void;
  readonly callback?: (error: Error) => void;
  readonly reject?: (error: Error) => void;
}

export interface Resolving {
  // oxlint-disable-next-line max-params -- Node's own signature
  getaddrinfo: (request: NameRequest, name: string, family: number, hints: number, order: number) => number;
  getnameinfo: (request: NameRequest, address: string, port: number) => number;
  /** One for each resolver. */
  readonly ChannelWrap: {
    readonly prototype: Record<string, (this: object, request: NameRequest, name: string) => number> & {
      cancel: (this: object) => void;
    };
  };
  readonly DNS_ORDER_IPV4_FIRST: number;
  readonly DNS_ORDER_IPV6_FIRST: number;
}

/** Program, its arguments, working directory, environment (`NAME=value`), and more. */
export type SpawnArguments = [
  file: string,
  values: string[] | undefined,
  cwd: string | undefined,
  environment: string[] | undefined,
  ...more: unknown[],
];

interface Bindings {
  readonly js_stream: { readonly JSStream: new () => JsStreamHandle };
  readonly cares_wrap: Resolving;
  readonly process_wrap: {
    readonly Process: { readonly prototype: { spawn: (...values: SpawnArguments) => number } };
  };
}

function binding<Name extends keyof Bindings>(name: Name): Bindings[Name] {
  return (process as unknown as { binding(name: Name): Bindings[Name] }).binding(name);
}

export const { JSStream } = binding('js_stream');
export const resolving = binding('cares_wrap');
export const { Process } = binding('process_wrap');

export interface SocketInternals {
  connecting: boolean;
  _handle: object | null;
  _host?: string;
  /** In a TLS socket that was put over another: that one. */
  readonly _parent?: { readonly connecting: boolean } | null;
}

const reinitialize = Object.getOwnPropertySymbols(net.Socket.prototype).find(
  ({ description }) => description === 'kReinitializeHandle',
)!;
const normalize = (net as unknown as { _normalizeArgs(values: readonly unknown[]): unknown[] })
  ._normalizeArgs;

/** TLS sockets put their own layer over the handle. */
export function setHandle(socket: net.Socket, handle: JsStreamHandle): void {
  (socket as unknown as Record<symbol, (handle: JsStreamHandle) => void>)[reinitialize]!(handle);
}

/** @returns options and callback, however `connect` was called; may be handed to `connect` as its one argument */
export function normalizeArguments(values: readonly unknown[]): unknown[] {
  // As net.js does: arguments that have been through this are a list in a list.
  return Array.isArray(values[0]) ? (values[0] as unknown[]) : normalize(values);
}
