/**
 * Makes a head that may go to a caller out of what a sandbox said. The sandbox is hostile: nothing it says may split the
 * response, change its framing, or speak for the connection or the platform (hostile case 28).
 */
import type { ResponseHead } from '../contracts/frames.ts';
import { HeaderKind, kindOfHeader, namedByConnection } from './header-names.ts';

export interface CheckedHead {
  readonly status: number;
  /** flat, as `writeHead` takes it; Content-Length is left out */
  readonly headers: string[];
  /** bytes that the function declared; -1: it did not */
  readonly contentLength: number;
  /** HEAD, 204, 205, 304: whatever the function sends as a body stays here */
  readonly isBodyless: boolean;
}

export interface HeadRules {
  readonly method: string;
  readonly maxBytes: number;
  /** 101 is an answer to an upgrade and to nothing else */
  readonly isUpgrade: boolean;
}

const MAX_HEADERS = 200;
const LINE_BYTES = 4;
const SWITCHING_PROTOCOLS = 101;
/** RFC 9110, 5.5: field values without controls; a tab is allowed */
const BAD_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const LENGTH = /^\d{1,15}$/;

/** @returns the head, or the reason why it is not valid HTTP, in words for the tenant */
export function checkResponseHead(head: ResponseHead, rules: HeadRules): CheckedHead | string {
  const { status, headers: said } = head;
  if (!isStatus(status, rules.isUpgrade)) return `the status ${status} cannot be sent`;
  if (said.length > MAX_HEADERS * 2) return `it has ${said.length / 2} headers; ${MAX_HEADERS} can be sent`;
  const dropped = namedByConnection(connectionOf(said));
  const headers: string[] = [];
  let contentLength = -1;
  let bytes = 0;
  for (let index = 0; index < said.length; index += 2) {
    const name = said[index]!;
    const value = said[index + 1]!;
    bytes += name.length + value.length + LINE_BYTES;
    const kind = kindOfHeader(name);
    if (kind === HeaderKind.Invalid) return 'a header name holds a character that is not allowed';
    if (BAD_VALUE.test(value)) return `the value of the header ${name} holds a control character`;
    if (kind === HeaderKind.ContentLength) {
      if (contentLength !== -1) return 'it has more than one Content-Length';
      if (!LENGTH.test(value)) return 'its Content-Length is not a number';
      contentLength = Number(value);
    } else if (isPassedOn(kind) && !(dropped.size > 0 && dropped.has(name.toLowerCase())))
      headers.push(name, value);
  }
  if (bytes > rules.maxBytes) return `its headers are larger than responseHeaderBytes (${rules.maxBytes})`;
  return { status, headers, contentLength, isBodyless: isBodyless(rules.method, status) };
}

function isStatus(status: number, isUpgrade: boolean): boolean {
  return (status >= 200 && status <= 599) || (isUpgrade && status === SWITCHING_PROTOCOLS);
}

function isBodyless(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 205 || status === 304;
}

function isPassedOn(kind: HeaderKind): boolean {
  return kind === HeaderKind.Pass || kind === HeaderKind.TraceParent || kind === HeaderKind.Forwarded;
}

function connectionOf(headers: readonly string[]): string | undefined {
  let found: string | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    if (kindOfHeader(headers[index]!) !== HeaderKind.Connection) continue;
    const value = headers[index + 1]!;
    found = found === undefined ? value : `${found},${value}`;
  }
  return found;
}

/** @returns what is wrong with the length of the body so far, in words for the tenant; null: nothing */
export function lengthMismatch(head: CheckedHead, bodyBytes: number, isEnd: boolean): string | null {
  if (head.isBodyless || head.contentLength < 0) return null;
  if (bodyBytes > head.contentLength) return 'it sent more bytes than its Content-Length';
  return isEnd && bodyBytes < head.contentLength ? 'it sent fewer bytes than its Content-Length' : null;
}

/** @returns the Content-Length for the caller; null: none, the body is chunked or there cannot be one */
export function lengthToSay(head: CheckedHead, bodyBytes: number, isEnd: boolean): string | null {
  if (head.status === 204) return null;
  if (head.status === 205) return '0';
  if (head.contentLength >= 0) return String(head.contentLength);
  return isEnd && !head.isBodyless ? String(bodyBytes) : null;
}
