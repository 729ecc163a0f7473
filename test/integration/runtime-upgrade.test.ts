import { Duplex } from 'node:stream';
import { afterEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { bundleFixture } from './bundle-fixture.ts';
import { type PeerInvocation, RuntimePeer } from './runtime-peer.ts';

let peer: RuntimePeer;

afterEach(async () => {
  const { violations } = peer;
  await peer.stop();
  expect(violations).toEqual([]);
});

const upgradeHeaders = [
  'Host',
  'h',
  'Connection',
  'Upgrade',
  'Upgrade',
  'websocket',
  'Sec-WebSocket-Version',
  '13',
  'Sec-WebSocket-Key',
  'dGhlIHNhbXBsZSBub25jZQ==',
];

/** The bytes of an upgraded invocation as a stream, for a client of `ws`. */
class PeerSocket extends Duplex {
  readonly #invocation: PeerInvocation;
  readonly #timer: NodeJS.Timeout;
  #at = 0;

  constructor(invocation: PeerInvocation) {
    super();
    this.#invocation = invocation;
    this.#timer = setInterval(() => this.#pull(), 2);
  }

  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    void this.#send(chunk, done);
  }

  async #send(chunk: Buffer, done: () => void): Promise<void> {
    await this.#invocation.write(chunk);
    done();
  }

  override _final(done: () => void): void {
    this.#invocation.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#timer);
    done(error);
  }

  #pull(): void {
    for (; this.#at < this.#invocation.chunks.length; this.#at++)
      this.push(this.#invocation.chunks[this.#at]);
    if (this.#invocation.isEnded) this.push(null);
  }
}

async function connect(
  url: string,
): Promise<{ socket: WebSocket; messages: string[]; invocation: PeerInvocation }> {
  const invocation = await peer.open({ url, isUpgrade: true, isOpen: true, headers: upgradeHeaders }).begun();
  expect(invocation.status).toBe(101);
  expect(invocation.header('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  const socket = new WebSocket(null as unknown as string, undefined, { autoPong: true }) as WebSocket & {
    setSocket(socket: Duplex, head: Buffer, options: object): void;
    _isServer: boolean;
  };
  const messages: string[] = [];
  socket._isServer = false;
  socket.on('message', (data: Buffer) => messages.push(data.toString()));
  socket.setSocket(new PeerSocket(invocation), Buffer.alloc(0), { maxPayload: 0, skipUTF8Validation: false });
  return { socket, messages, invocation };
}

it('a WebSocket server of ws talks with a client of ws', async () => {
  const { code, sourceMap } = await bundleFixture('ws-echo.js');
  peer = await RuntimePeer.start();
  expect(await peer.load(code, { filename: 'index.js' }, sourceMap)).toEqual({ ok: true, form: 'node' });
  const { socket, messages, invocation } = await connect('/room?a=b');
  const large = 'x'.repeat(600_000);
  await peer.until(() => messages.length === 1, 'the greeting');
  socket.send('one');
  socket.send(large);
  await peer.until(() => messages.length === 3, 'both echoes');
  expect(messages).toEqual(['hello /room?a=b', 'one', large]);
  socket.close(1000, 'bye');
  await invocation.over();
  expect(invocation.failure).toBeNull();
  expect((await peer.call()).body).toBe('plain');
});

it('a client that goes away closes the socket of the server', async () => {
  const { code } = await bundleFixture('ws-echo.js');
  peer = await RuntimePeer.start();
  await peer.load(code);
  const { socket, messages, invocation } = await connect('/');
  await peer.until(() => messages.length === 1, 'the greeting');
  invocation.cancel();
  await invocation.over();
  expect(invocation.failure).toBeNull();
  socket.terminate();
});

it('a connection that the server ends is closed for it at once, whether the client ended its side or not', async () => {
  peer = await RuntimePeer.start();
  await peer.load(
    'let closed = 0; const server = require("http").createServer((req, res) => res.end(String(closed))); server.on("upgrade", (req, socket) => { socket.write("HTTP/1.1 101 x\\r\\n\\r\\n"); socket.on("data", () => socket.end()); socket.on("close", () => closed++) }); module.exports = server',
  );
  const invocation = await peer.open({ isUpgrade: true, isOpen: true, headers: upgradeHeaders }).begun();
  await invocation.write(Buffer.from('bye'));
  await invocation.over();
  expect(invocation.failure).toBeNull();
  expect((await peer.call()).body).toBe('1');
});

it('a server that was told to listen gets the upgrades, and the exported app the rest', async () => {
  peer = await RuntimePeer.start();
  const app = 'const app = (req, res) => res.end("app"); app.handle = app;';
  const server =
    'const server = require("http").createServer(app); server.on("upgrade", (req, socket) => socket.end("HTTP/1.1 418 x\\r\\n\\r\\n")); server.listen(80);';
  expect(await peer.load(`${app} ${server} module.exports = app`)).toEqual({ ok: true, form: 'node' });
  expect((await peer.call({ isUpgrade: true, headers: upgradeHeaders })).status).toBe(418);
  expect((await peer.call()).body).toBe('app');
});

it('a refused upgrade is a plain response', async () => {
  peer = await RuntimePeer.start();
  await peer.load(
    'const server = require("http").createServer(); server.on("upgrade", (req, socket) => { socket.write("HTTP/1.1 401 Unauthor"); socket.end("ized\\r\\nX-A: b\\r\\nConnection: close\\r\\n\\r\\nno entry") }); module.exports = server',
  );
  const answer = await peer.call({ isUpgrade: true, isOpen: true, headers: upgradeHeaders });
  expect([answer.status, answer.headers, answer.body]).toEqual([401, ['X-A', 'b'], 'no entry']);
});

it.each([
  ['socket.end("garbage\\r\\n\\r\\n")', 'not HTTP/1.1'],
  ['socket.destroy()', 'closed the connection'],
  ['throw new Error("in upgrade")', 'in upgrade'],
  ['socket.write("HTTP/1.1 101 x\\r\\n: y\\r\\n\\r\\n")', 'a header has no name'],
])('an upgrade that is answered with %s fails', async (code, reason) => {
  peer = await RuntimePeer.start();
  await peer.load(
    `const server = require("http").createServer(); server.on("upgrade", (req, socket) => { socket.on("error", () => {}); ${code} }); module.exports = server`,
  );
  const answer = await peer.call({ isUpgrade: true, isOpen: true, headers: upgradeHeaders });
  expect(answer.failure?.reason).toContain(reason);
});

it('a function without upgrade listeners gets it as a plain request', async () => {
  peer = await RuntimePeer.start();
  await peer.load('module.exports = (req, res) => res.end(req.headers.upgrade)');
  expect((await peer.call({ isUpgrade: true, headers: upgradeHeaders })).body).toBe('websocket');
});
