/** Requests byte by byte, and responses taken apart by the letter of RFC 9112: what is left over was split off by somebody. */
import net from 'node:net';

export interface RawResponse {
  readonly status: number;
  /** names in small letters; repeated ones joined by a comma */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawExchange {
  /** everything, latin1 */
  readonly text: string;
  readonly responses: readonly RawResponse[];
  /** bytes that belong to no whole response */
  readonly rest: string;
  /** The other side has closed before the deadline. */
  readonly isClosed: boolean;
}

/** Sends latin1 bytes, and reads until the other side closes or `ms` are over. */
export async function exchangeRaw(port: number, bytes: string, ms = 3_000): Promise<RawExchange> {
  const { text, isClosed } = await new Promise<{ text: string; isClosed: boolean }>((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    let text = '';
    const finish = (isClosed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, isClosed });
    };
    const timer = setTimeout(() => finish(false), ms);
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', () => finish(true)).on('close', () => finish(true));
  });
  return { text, ...takeApart(text), isClosed };
}

/** One request that ends its connection. */
export async function requestRaw(port: number, head: string, body = ''): Promise<RawResponse> {
  const { responses, rest } = await exchangeRaw(port, `${head}Connection: close\r\n\r\n${body}`, 30_000);
  if (responses.length !== 1 || rest !== '')
    throw new Error(`not one response: ${JSON.stringify({ responses, rest })}`);
  return responses[0]!;
}

function takeApart(text: string): { responses: RawResponse[]; rest: string } {
  const responses: RawResponse[] = [];
  let rest = text;
  for (;;) {
    const taken = takeOne(rest);
    if (taken === null) return { responses, rest };
    responses.push(taken.response);
    ({ rest } = taken);
  }
}

function takeOne(text: string): { response: RawResponse; rest: string } | null {
  const end = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, Math.max(0, end)).split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) [^\r\n]*$/.exec(statusLine)?.[1]);
  if (end === -1 || Number.isNaN(status)) return null;
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const after = text.slice(end + 4);
  const body = hasNoBody(status) ? { body: '', rest: after } : takeBody(headers, after);
  return body && { response: { status, headers, body: body.body }, rest: body.rest };
}

function hasNoBody(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}

function takeBody(headers: Record<string, string>, text: string): { body: string; rest: string } | null {
  if (headers['transfer-encoding'] === 'chunked') return takeChunks(text);
  const length = Number(headers['content-length'] ?? Number.NaN);
  if (Number.isNaN(length) || text.length < length) return null;
  return { body: text.slice(0, length), rest: text.slice(length) };
}

function takeChunks(text: string): { body: string; rest: string } | null {
  let body = '';
  let at = 0;
  for (;;) {
    const size = /^([0-9a-f]+)\r\n/i.exec(text.slice(at, at + 20));
    if (size === null) return null;
    const start = at + size[0].length;
    const length = Number.parseInt(size[1]!, 16);
    if (text.slice(start + length, start + length + 2) !== '\r\n') return null;
    body += text.slice(start, start + length);
    at = start + length + 2;
    if (length === 0) return { body, rest: text.slice(at) };
  }
}
