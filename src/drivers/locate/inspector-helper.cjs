// Reads the call frames of a Node process whose main thread spins: asks its inspector to pause. Run by a driver as
// `node -e <this text> <port> <deadline in ms>` inside the sandbox's network namespace, with no rights; no dependencies.
// Prints one line of JSON. The other side is tenants' code if it wants to be: every size and time is bounded.
'use strict';
const net = require('node:net');
const http = require('node:http');

const [port, deadlineMs] = process.argv.slice(1, 3).map(Number);
/** Its frames are ours, not the tenant's. */
const runtimeFile = process.argv[3];
const MAX_BYTES = 1 << 20;
const MAX_FRAMES = 50;
const MAX_TEXT = 512;
const RETRY_MS = 15;
const MAX_SCRIPTS = 5000;
/** Node's own code between two callbacks of the tenant is left by stepping. */
const MAX_STEPS = 300;

const urls = new Map();

setTimeout(() => process.exit(1), deadlineMs);

function findPath() {
  const request = http.get({ host: '127.0.0.1', port, path: '/json/list', agent: false }, (response) => {
    let text = '';
    response.on('data', (chunk) => {
      text += chunk;
      if (text.length > MAX_BYTES) process.exit(2);
    });
    response.on('end', () => connect(new URL(JSON.parse(text)[0].webSocketDebuggerUrl).pathname));
  });
  request.on('error', () => setTimeout(findPath, RETRY_MS));
}

function connect(path) {
  const socket = net.connect(port, '127.0.0.1');
  const key = Buffer.alloc(16, 7).toString('base64');
  const headers = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers.join('\r\n')}\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  );
  let buffer = Buffer.alloc(0);
  let isOpen = false;
  let received = 0;
  socket.on('error', () => process.exit(3));
  socket.on('close', () => process.exit(3));
  socket.on('data', (chunk) => {
    received += chunk.length;
    if (received > MAX_BYTES * 16 || buffer.length > MAX_BYTES) process.exit(2);
    buffer = Buffer.concat([buffer, chunk]);
    if (!isOpen) {
      const end = buffer.indexOf('\r\n\r\n');
      if (end === -1) return;
      isOpen = true;
      buffer = buffer.subarray(end + 4);
      send(socket, { id: 1, method: 'Debugger.enable', params: {} });
      send(socket, { id: 2, method: 'Debugger.pause' });
    }
    for (let frame = takeFrame(); frame !== null; frame = takeFrame()) read(frame, socket);
  });

  /** One unfragmented frame from a server (RFC 6455 section 5.2), null while it is incomplete. */
  function takeFrame() {
    if (buffer.length < 2) return null;
    let length = buffer[1] & 0x7f;
    let start = 2;
    if (length === 126) {
      if (buffer.length < 4) return null;
      length = buffer.readUInt16BE(2);
      start = 4;
    } else if (length === 127) {
      if (buffer.length < 10) return null;
      length = Number(buffer.readBigUInt64BE(2));
      start = 10;
    }
    if (length > MAX_BYTES) process.exit(2);
    if (buffer.length < start + length) return null;
    const payload = buffer.subarray(start, start + length);
    buffer = buffer.subarray(start + length);
    return payload;
  }
}

let steps = 0;

function read(payload, socket) {
  const message = JSON.parse(payload.toString('utf8'));
  // Call frames carry no name of their script since V8 13; the scripts are told when the debugger is enabled.
  if (message.method === 'Debugger.scriptParsed' && urls.size < MAX_SCRIPTS)
    urls.set(message.params.scriptId, message.params.url);
  if (message.method !== 'Debugger.paused') return;
  const text = (value) => String(value).slice(0, MAX_TEXT);
  const frames = message.params.callFrames.slice(0, MAX_FRAMES).map((frame) => ({
    functionName: text(frame.functionName),
    file: text(frame.url || urls.get(frame.location.scriptId) || ''),
    line: Number(frame.location.lineNumber) + 1,
    column: Number(frame.location.columnNumber ?? 0) + 1,
  }));
  if (frames.every(isOurs) && steps++ < MAX_STEPS)
    send(socket, { id: 3 + steps, method: 'Debugger.stepInto' });
  else process.stdout.write(JSON.stringify(frames), () => process.exit(0));
}

function isOurs({ file }) {
  return file.startsWith('node:') || file.replace(/^file:\/\//, '') === runtimeFile;
}

/** A masked text frame; the mask may be zero, this is no proxy. */
function send(socket, message) {
  const payload = Buffer.from(JSON.stringify(message));
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
}

findPath();
