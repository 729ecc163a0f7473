/** An HTTP proxy (RFC 9110, 7.3.2 and 9.3.6): CONNECT for what is encrypted, requests with a whole URL for what is not. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { join, open, type RelayTarget } from './relay.ts';

const NOT_PASSED_ON = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const HTTPS_PORT = 443;

/** Not listening: connections are handed to it. */
export function createHttpProxy(): http.Server {
  const server = http.createServer(forward);
  server.on('connect', (request, client, head) => tunnel(request, client, head));
  server.on('clientError', (_error, client) => client.destroy());
  return server;
}

function tunnel(request: IncomingMessage, client: Duplex, head: Buffer): void {
  client.on('error', () => client.destroy());
  const target = authorityOf(request.url ?? '');
  if (target === null) return void client.end(plain(400, 'CONNECT wants host:port'));
  const upstream = open(target, {
    failed: (error) => client.end(plain(statusOf(error), error.message)),
    opened: () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      if (head.length > 0) upstream.write(head);
      join(client, upstream);
    },
  });
  client.once('close', () => upstream.destroy());
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '';
  if (!/^http:\/\//i.test(url) || !URL.canParse(url))
    return void response.writeHead(400).end('a proxy wants a whole http URL\n');
  const upstream = http.request(url, {
    method: request.method,
    headers: passedOn(request.rawHeaders),
    agent: false,
  });
  upstream.on('error', (error) => {
    if (response.headersSent) return void response.destroy();
    response.writeHead(statusOf(error), { 'content-type': 'text/plain' }).end(`${error.message}\n`);
  });
  upstream.on('response', (answer) => {
    response.writeHead(answer.statusCode ?? 502, passedOn(answer.rawHeaders));
    answer.on('error', () => response.destroy());
    answer.pipe(response);
  });
  response.on('close', () => upstream.destroy());
  request.pipe(upstream);
}

/** Names and values as they came, alternating. */
function passedOn(raw: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2)
    if (!NOT_PASSED_ON.has(raw[index]!.toLowerCase())) kept.push(raw[index]!, raw[index + 1]!);
  return kept;
}

function authorityOf(text: string): RelayTarget | null {
  const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:/]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
  if (host === undefined) return null;
  return { host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? HTTPS_PORT : Number(port) };
}

function statusOf({ code }: NodeJS.ErrnoException): number {
  if (code === 'EACCES') return 403;
  return code === 'ETIMEDOUT' ? 504 : 502;
}

function plain(status: number, text: string): string {
  const body = `${text}\n`;
  const head = `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\nconnection: close\r\ncontent-type: text/plain`;
  return `${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
