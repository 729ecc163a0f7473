/**
 * What tenants' code makes Node do, a little of everything: run under strace by measure.ts to see which system calls that
 * takes. Each deed stands alone; one that fails is printed, since a deed that did not happen measures nothing.
 */
import { execFile, fork, spawn, spawnSync } from 'node:child_process';
import {
  createCipheriv,
  createHash,
  generateKeyPairSync,
  pbkdf2,
  randomBytes,
  scrypt,
  subtle,
  webcrypto,
} from 'node:crypto';
import dgram from 'node:dgram';
import dns from 'node:dns';
import { once } from 'node:events';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import http from 'node:http';
import http2 from 'node:http2';
import inspector from 'node:inspector';
import net from 'node:net';
import os from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Worker } from 'node:worker_threads';
import zlib from 'node:zlib';

/** Of one deed, under strace. */
const DEADLINE_MS = 20_000;
const folder = fs.mkdtempSync(join(os.tmpdir(), 'berth-measure-'));
const at = (name) => join(folder, name);
/** Also keeps the process alive while the deed waits for what the event loop does not count. */
async function inTime(work) {
  const { promise, reject } = Promise.withResolvers();
  const timer = setTimeout(() => reject(new Error('it takes too long')), DEADLINE_MS);
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
const listening = async (server, ...where) => {
  server.listen(...where);
  await once(server, 'listening');
  return server.address();
};

const deeds = {
  files() {
    fs.writeFileSync(at('a'), 'text');
    fs.appendFileSync(at('a'), 'more');
    fs.copyFileSync(at('a'), at('b'));
    fs.cpSync(at('a'), at('c'), { mode: fs.constants.COPYFILE_FICLONE });
    fs.renameSync(at('b'), at('d'));
    fs.linkSync(at('a'), at('link'));
    fs.symlinkSync('a', at('symlink'));
    fs.readlinkSync(at('symlink'));
    fs.realpathSync.native(at('symlink'));
    for (const look of [fs.statSync, fs.lstatSync, fs.statfsSync, fs.accessSync, fs.existsSync])
      look(at('a'));
    fs.statSync(at('a'), { bigint: true });
    fs.chmodSync(at('a'), 0o600);
    fs.chownSync(at('a'), process.getuid(), process.getgid());
    fs.lchownSync(at('symlink'), process.getuid(), process.getgid());
    fs.utimesSync(at('a'), 1, 1);
    fs.lutimesSync(at('symlink'), 1, 1);
    fs.truncateSync(at('a'), 2);
    const fd = fs.openSync(at('a'), 'r+');
    fs.writevSync(fd, [Buffer.from('x'), Buffer.from('y')], 0);
    fs.readvSync(fd, [Buffer.alloc(1), Buffer.alloc(1)], 0);
    fs.writevSync(fd, [Buffer.from('x'), Buffer.from('y')]);
    fs.readvSync(fd, [Buffer.alloc(1), Buffer.alloc(1)]);
    fs.readSync(fd, Buffer.alloc(1), 0, 1, 0);
    fs.writeSync(fd, 'z', 0);
    fs.writeSync(fd, 'z');
    fs.readSync(fd, Buffer.alloc(1));
    for (const call of [fs.fsyncSync, fs.fdatasyncSync, fs.fstatSync]) call(fd);
    fs.ftruncateSync(fd, 1);
    fs.futimesSync(fd, 1, 1);
    fs.fchmodSync(fd, 0o600);
    fs.fchownSync(fd, process.getuid(), process.getgid());
    fs.closeSync(fd);
    fs.mkdirSync(at('deep/er'), { recursive: true });
    fs.readdirSync(folder, { recursive: true, withFileTypes: true });
    fs.rmdirSync(at('deep/er'));
    fs.unlinkSync(at('d'));
    fs.rmSync(at('deep'), { recursive: true });
    process.umask(process.umask());
    process.chdir(folder);
    process.cwd();
  },
  async filesLater() {
    await fsp.writeFile(at('big'), randomBytes(300_000));
    await pipeline(fs.createReadStream(at('big')), zlib.createGzip(), fs.createWriteStream(at('big.gz')));
    for await (const entry of await fsp.opendir(folder)) entry.isFile();
    const watcher = fs.watch(folder);
    fs.writeFileSync(at('watched'), '');
    await once(watcher, 'change');
    watcher.close();
    fs.watchFile(at('a'), { interval: 10 }, () => undefined);
    await delay(50);
    fs.unwatchFile(at('a'));
    const blob = await fs.openAsBlob(at('big'));
    await blob.arrayBuffer();
  },
  async sockets() {
    const server = net.createServer((socket) => socket.setNoDelay(true).setKeepAlive(true).pipe(socket));
    const { port } = await listening(server, 0, '127.0.0.1');
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: '127.0.0.1' });
    socket.resume().end('hello');
    await once(socket, 'close');
    server.close();
    const path = at('socket');
    const local = net.createServer((one) => one.end());
    await listening(local, path);
    await once(net.connect(path).resume(), 'close');
    local.close();
    await listening(net.createServer().unref(), 0, '::1').catch(() => undefined);
  },
  async datagrams() {
    for (const [type, address] of [
      ['udp4', '127.0.0.1'],
      ['udp6', '::1'],
    ]) {
      const socket = dgram.createSocket({ type, reuseAddr: true });
      socket.bind(0, address);
      await once(socket, 'listening');
      socket.setTTL(10);
      socket.setRecvBufferSize(65_536);
      socket.getSendBufferSize();
      socket.send(['a', 'b'], socket.address().port, address);
      await once(socket, 'message');
      socket.close();
    }
  },
  async names() {
    await dns.promises.lookup('localhost', { all: true });
    await dns.promises.resolve4('example.invalid', {}).catch(() => undefined);
    const resolver = new dns.promises.Resolver({ timeout: 50, tries: 1 });
    resolver.setServers(['127.0.0.1:9']);
    await resolver.resolveTxt('example.invalid').catch(() => undefined);
  },
  async web() {
    const server = http.createServer((request, response) => request.pipe(response));
    const { port } = await listening(server, 0, '127.0.0.1');
    const response = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body: 'x'.repeat(100_000) });
    await response.text();
    server.close();
    server.closeAllConnections();
    const h2 = http2.createServer((_request, answer) => answer.end('h2'));
    const { port: h2Port } = await listening(h2, 0, '127.0.0.1');
    const session = http2.connect(`http://127.0.0.1:${h2Port}`);
    await once(session.request({ ':path': '/' }).resume(), 'close');
    session.close();
    h2.close();
  },
  async tls() {
    const server = tls.createServer({ pskCallback: () => Buffer.alloc(16, 1), ciphers: 'PSK' }, (socket) =>
      socket.end('x'),
    );
    const { port } = await listening(server, 0, '127.0.0.1');
    const pskCallback = () => ({ psk: Buffer.alloc(16, 1), identity: 'x' });
    const socket = tls.connect({
      port,
      host: '127.0.0.1',
      pskCallback,
      ciphers: 'PSK',
      checkServerIdentity: () => undefined,
    });
    await once(socket.resume(), 'close');
    server.close();
    tls.getCACertificates?.('system');
  },
  async children() {
    await once(
      spawn(process.execPath, ['-e', 'process.stdin.pipe(process.stdout)'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      }).on('spawn', function spawned() {
        this.stdin.end('x');
        this.stdout.resume();
      }),
      'close',
    );
    spawnSync(process.execPath, ['-e', '0'], { input: 'x', timeout: 5_000 });
    await new Promise((done) => execFile(process.execPath, ['--version'], done));
    const forked = fork(at('fork.mjs'));
    forked.send({ a: 1 });
    await once(forked, 'message');
    forked.kill('SIGTERM');
    await once(forked, 'close');
    const detached = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
      detached: true,
      stdio: 'ignore',
    });
    await once(detached, 'spawn');
    process.kill(-detached.pid, 'SIGKILL');
    await once(detached, 'close');
  },
  async threads() {
    const worker = new Worker(
      'const { parentPort } = require("worker_threads"); parentPort.once("message", (m) => parentPort.postMessage(m));',
      { eval: true, resourceLimits: { maxOldGenerationSizeMb: 32 } },
    );
    worker.postMessage(new SharedArrayBuffer(8), []);
    await once(worker, 'message');
    await worker.terminate();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    await Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10).value;
  },
  async crypto() {
    createHash('sha256').update('x').digest();
    createCipheriv('aes-256-gcm', Buffer.alloc(32), Buffer.alloc(12)).final();
    generateKeyPairSync('rsa', { modulusLength: 2_048 });
    await new Promise((done) => pbkdf2('x', 'y', 1_000, 32, 'sha256', done));
    await new Promise((done) => scrypt('x', 'y', 32, done));
    webcrypto.getRandomValues(new Uint8Array(8));
    await subtle.digest('SHA-256', Buffer.alloc(8));
    for (const one of [zlib.gzipSync, zlib.brotliCompressSync, zlib.deflateSync, zlib.zstdCompressSync])
      one?.('x'.repeat(10_000));
  },
  async engine() {
    const module = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 109, 2, 0);
    const { instance } = await WebAssembly.instantiate(module);
    instance.exports.m.grow(10);
    vm.runInNewContext('let n = 0; for (let i = 0; i < 1e6; i++) n += i; n');
    v8.getHeapStatistics();
    globalThis.garbage = Array.from({ length: 300_000 }, (_, index) => ({ index }));
    delete globalThis.garbage;
    v8.setFlagsFromString('--expose-gc');
    vm.runInNewContext('gc')();
    const session = new inspector.Session();
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.start');
    session.post('Profiler.stop');
    session.disconnect();
    inspector.open(0, '127.0.0.1');
    inspector.close();
  },
  async time() {
    const histogram = monitorEventLoopDelay();
    histogram.enable();
    process.hrtime.bigint();
    performance.now();
    new Date().toLocaleString('de', { timeZone: 'Europe/Berlin' });
    new Intl.Collator('ja').compare('a', 'b');
    setImmediate(() => undefined);
    await delay(20);
    histogram.disable();
  },
  machine() {
    for (const name of [
      'cpus',
      'freemem',
      'totalmem',
      'loadavg',
      'uptime',
      'hostname',
      'userInfo',
      'release',
      'version',
      'availableParallelism',
      'networkInterfaces',
      'getPriority',
    ])
      os[name]();
    os.setPriority(0, os.getPriority());
    process.memoryUsage();
    process.resourceUsage();
    process.availableMemory?.();
    process.constrainedMemory?.();
    process.cpuUsage();
    process.getgroups();
    process.geteuid();
    process.title = 'measure';
  },
  async signals() {
    process.once('SIGUSR2', () => undefined);
    process.kill(process.pid, 'SIGUSR2');
    process.kill(process.pid, 0);
    await delay(20);
  },
  async databases() {
    for (const path of [':memory:', at('db')]) {
      const database = new DatabaseSync(path);
      database.exec('pragma journal_mode = wal; create table t (a); insert into t values (1)');
      database.prepare('select * from t').all();
      database.close();
    }
  },
  async streams() {
    const child = spawn(process.execPath, ['-e', 'console.log("a\\nb")'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: child.stdout })) line.trim();
    process.stdout.write('');
    process.stderr.write('');
  },
};

fs.writeFileSync(at('fork.mjs'), 'process.on("message", (m) => process.send(m));');
let failures = 0;
for (const [name, deed] of Object.entries(deeds)) {
  try {
    await inTime(deed());
  } catch (error) {
    failures++;
    console.error(`${name}: ${error.stack}`);
  }
}
process.chdir('/');
fs.rmSync(folder, { recursive: true });
process.exit(failures === 0 ? 0 : 1);
