/** Libraries that people use, unchanged, in a sandbox: against real servers where Debian has them, else against their protocol. */
import { createServer as createHttp, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createNet, type Server, type Socket } from 'node:net';
import * as esbuild from 'esbuild';
import { BSON } from 'mongodb';
import mysql from 'mysql2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { type Database, findPostgres, hasRedis, startPostgres, startRedis } from '../support/databases.ts';
import { projectRoot } from '../support/platform.ts';
import { type EgressWorld, openEgressWorld } from './egress-world.ts';

const postgres = await findPostgres();
const redis = await hasRedis();
let world: EgressWorld;
const running: (Database | { stop(): Promise<void> })[] = [];

beforeAll(async () => {
  world = await openEgressWorld();
  for (const name of ['db.test', 'cache.test', 'web.test', 'mail.test']) world.names.set(name, ['127.0.0.1']);
});
afterAll(async () => {
  await world.close();
  await Promise.all(running.map((server) => server.stop()));
});

/** Bundles the code as the CLI does, and runs it as the body of an async function. */
async function withLibraries<T>(body: string): Promise<T> {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: `module.exports = async () => { ${body} };`, resolveDir: projectRoot, loader: 'js' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    logLevel: 'silent',
    // What they load only where it is there.
    external: [
      'pg-native',
      'bufferutil',
      'utf-8-validate',
      'kerberos',
      'snappy',
      'socks',
      'aws4',
      'gcp-metadata',
      'mongodb-client-encryption',
      '@mongodb-js/zstd',
      '@aws-sdk/credential-providers',
    ],
  });
  return world.run<T>(`const module = { exports: {} }; ${outputFiles[0]!.text}; return module.exports();`);
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  running.push({
    stop: () =>
      new Promise((done) => {
        server.close(() => done());
        if ('closeAllConnections' in server) (server as ReturnType<typeof createHttp>).closeAllConnections();
      }),
  });
  return (server.address() as AddressInfo).port;
}

describe.skipIf(postgres === null)('pg, against PostgreSQL (Debian: postgresql)', () => {
  it('queries, takes part in transactions, streams large answers, pools', async () => {
    const server = await startPostgres(postgres!);
    running.push(server);
    const seen = await withLibraries<Record<string, unknown>>(`
      const { Client, Pool } = require('pg');
      const where = { host: 'db.test', port: ${server.port}, user: 'berth', database: 'postgres', ssl: false };
      const client = new Client(where);
      await client.connect();
      await client.query('create table t (id int primary key, text text)');
      await client.query('begin');
      await client.query("insert into t select n, repeat('x', 1000) from generate_series(1, 3000) n");
      await client.query('commit');
      const { rows } = await client.query('select * from t order by id');
      const failed = await client.query('select 1/0').catch(({ code }) => code);
      await client.end();
      const pool = new Pool({ ...where, max: 5 });
      const sums = await Promise.all(Array.from({ length: 20 }, (_, n) => pool.query('select $1::int * 2 as twice', [n])));
      await pool.end();
      const refused = await new Client({ ...where, host: '10.0.0.1' }).connect().catch(({ code }) => code);
      return { rows: rows.length, bytes: rows.reduce((sum, row) => sum + row.text.length, 0), failed, sums: sums.map(({ rows }) => rows[0].twice), refused };`);
    expect(seen).toEqual({
      rows: 3_000,
      bytes: 3_000_000,
      failed: '22012',
      sums: Array.from({ length: 20 }, (_, n) => n * 2),
      refused: 'EACCES',
    });
  });
});

describe.skipIf(!redis)('ioredis, against Redis (Debian: redis-server)', () => {
  it('sets and gets, pipelines, publishes and subscribes', async () => {
    const server = await startRedis();
    running.push(server);
    const seen = await withLibraries<Record<string, unknown>>(`
      const { Redis } = require('ioredis');
      const where = { host: 'cache.test', port: ${server.port} };
      const client = new Redis(where);
      const subscriber = new Redis(where);
      await client.set('a', 'b'.repeat(200_000));
      const length = (await client.get('a')).length;
      const pipeline = client.pipeline();
      for (let n = 0; n < 500; n++) pipeline.incr('n');
      const last = (await pipeline.exec()).at(-1)[1];
      await subscriber.subscribe('news');
      const heard = new Promise((done) => subscriber.on('message', (_, text) => done(text)));
      await client.publish('news', 'hello');
      const message = await heard;
      client.disconnect(); subscriber.disconnect();
      return { length, last, message };`);
    expect(seen).toEqual({ length: 200_000, last: 500, message: 'hello' });
  });
});

it('ws, against an echo', async () => {
  const http = createHttp();
  const echo = new WebSocketServer({ server: http, maxPayload: 10_000_000 });
  echo.on('connection', (socket: WebSocket) => {
    socket.on('message', (data: Buffer, isBinary: boolean) => socket.send(data, { binary: isBinary }));
  });
  const port = await listen(http);
  const seen = await withLibraries<Record<string, unknown>>(`
    const { WebSocket: Ws } = require('ws');
    const talk = (Kind, data) => new Promise((done, fail) => {
      const socket = new Kind('ws://web.test:${port}/');
      socket.onopen = () => socket.send(data);
      socket.onmessage = ({ data }) => { socket.close(1000); socket.onclose = ({ code }) => done([data.length ?? data.size, code]); };
      socket.onerror = fail;
    });
    return { text: await talk(Ws, 'hello'), large: await talk(Ws, 'x'.repeat(2_000_000)), global: await talk(WebSocket, 'hello') };`);
  expect(seen).toEqual({ text: [5, 1000], large: [2_000_000, 1000], global: [5, 1000] });
});

it('axios and got, against HTTP', async () => {
  const bodyOf = async (request: IncomingMessage): Promise<string> => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    return text;
  };
  const http = createHttp((request, response) => {
    if (request.url === '/away') return void response.writeHead(302, { location: '/here' }).end();
    void bodyOf(request).then((text) => response.end(JSON.stringify({ url: request.url, text })));
  });
  const port = await listen(http);
  const seen = await withLibraries<Record<string, unknown>>(`
    const axios = require('axios').default ?? require('axios');
    const got = require('got').got ?? require('got').default;
    const at = 'http://web.test:${port}';
    const refused = await axios.get('http://10.0.0.1/').catch(({ code }) => code);
    return {
      axios: (await axios.post(at + '/a', { n: 1 })).data,
      got: await got.post(at + '/g', { json: { n: 2 } }).json(),
      followed: (await got(at + '/away').json()).url,
      refused,
    };`);
  expect(seen).toEqual({
    axios: { url: '/a', text: '{"n":1}' },
    got: { url: '/g', text: '{"n":2}' },
    followed: '/here',
    refused: 'EACCES',
  });
});

it('mysql2, against its own server', async () => {
  const server = mysql.createServer(() => undefined);
  server.on('connection', (connection: mysql.Connection & Record<string, (...values: unknown[]) => void>) => {
    connection['serverHandshake']!({
      protocolVersion: 10,
      serverVersion: '8.0.0',
      connectionId: 1,
      statusFlags: 2,
      characterSet: 8,
      capabilityFlags: 0xff_ff_ff & ~0x800,
      authCallback: (_parameters: unknown, done: (error: null) => void) => done(null),
    });
    connection.on('query', () =>
      connection['writeTextResult']!(
        [{ answer: '42' }],
        [
          {
            catalog: 'def',
            schema: '',
            table: '',
            orgTable: '',
            name: 'answer',
            orgName: '',
            characterSet: 33,
            columnLength: 384,
            columnType: 253,
            flags: 0,
            decimals: 0,
          },
        ],
      ),
    );
    connection.on('error', () => undefined);
  });
  const port = await listen((server as unknown as { _server: Server })._server);
  const rows = await withLibraries<unknown>(`
    const connection = await require('mysql2/promise').createConnection({ host: 'db.test', port: ${port}, user: 'u', disableEval: false });
    const [rows] = await connection.query('select 42 as answer');
    connection.destroy();
    return rows;`);
  expect(rows).toEqual([{ answer: '42' }]);
});

it('mongodb, against its wire protocol (OP_MSG)', async () => {
  const port = await listen(createNet(mongo));
  const seen = await withLibraries<unknown>(`
    const { MongoClient } = require('mongodb');
    const client = new MongoClient('mongodb://db.test:${port}/?directConnection=true', { serverSelectionTimeoutMS: 10_000 });
    const answer = await client.db('x').command({ ping: 1 });
    await client.close();
    return answer;`);
  expect(seen).toMatchObject({ ok: 1 });
});

/** Answers hello and everything else with "ok". */
function mongo(socket: Socket): void {
  let input = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    input = Buffer.concat([input, chunk]);
    while (input.length >= 4 && input.length >= input.readInt32LE(0)) {
      const message = input.subarray(0, input.readInt32LE(0));
      input = input.subarray(message.length);
      socket.write(reply(message));
    }
  });
}

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;

function reply(message: Buffer): Buffer {
  const operation = message.readInt32LE(12);
  const isMsg = operation === OP_MSG;
  const asked: BSON.Document = isMsg ? BSON.deserialize(message.subarray(21)) : {};
  const isHello = operation === OP_QUERY || 'hello' in asked || 'ismaster' in asked;
  const about = {
    isWritablePrimary: true,
    ismaster: true,
    maxBsonObjectSize: 16_777_216,
    maxMessageSizeBytes: 48_000_000,
    maxWriteBatchSize: 100_000,
    minWireVersion: 0,
    maxWireVersion: 21,
    helloOk: true,
  };
  const body = BSON.serialize({ ok: 1, ...(isHello ? about : {}) });
  const head = Buffer.alloc(isMsg ? 21 : 36);
  head.writeInt32LE(head.length + body.length, 0);
  head.writeInt32LE(message.readInt32LE(4), 8);
  head.writeInt32LE(isMsg ? OP_MSG : OP_REPLY, 12);
  if (!isMsg) head.writeInt32LE(1, 32);
  return Buffer.concat([head, body]);
}

it('nodemailer, against SMTP on the port of submission', async () => {
  const heard: string[] = [];
  const smtp = createNet((socket) => {
    let isData = false;
    let message = '';
    socket.on('error', () => socket.destroy());
    socket.write('220 mail.test ESMTP\r\n');
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard.push(text);
      if (isData) {
        // The end of the message may come in pieces of its own.
        message += text;
        if (!message.endsWith('\r\n.\r\n')) return;
        isData = false;
        return socket.write('250 taken\r\n');
      }
      isData = text.startsWith('DATA');
      if (text.startsWith('QUIT')) return socket.end('221 bye\r\n');
      return socket.write(isData ? '354 go on\r\n' : '250 fine\r\n');
    });
  });
  const port = await listen(smtp);
  const seen = await withLibraries<unknown>(`
    const transport = require('nodemailer').createTransport({ host: 'mail.test', port: ${port}, secure: false, ignoreTLS: true });
    const { accepted } = await transport.sendMail({ from: 'a@berth.test', to: 'b@berth.test', subject: 'hello', text: 'from a sandbox' });
    return accepted;`);
  expect(seen).toEqual(['b@berth.test']);
  expect(heard.join('')).toContain('from a sandbox');
});
