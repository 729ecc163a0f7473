/** Hostile code, case 42: a sandbox that does not speak the protocol, or speaks of what is not its own. */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Arena } from './arena.ts';
import { channelAttack } from './channel-attack.ts';

const arena = Arena.prepare({ wallMs: 5_000, blockedMs: 2_000 });

/** Another function of the attacker's own, to see whether it suffers. */
async function neighbourGoesOn(attack: Promise<unknown>): Promise<void> {
  const ended = new AbortController();
  const over = attack.finally(() => ended.abort());
  await arena.deploy('neighbour', 'module.exports = (cb) => cb(null, 1)');
  while (!ended.signal.aborted) {
    expect((await arena.platform.call('attacker', 'neighbour')).status).toBe(200);
    await arena.serveVictim();
  }
  await over;
}

describe('42: the first breach of the protocol kills the sandbox', () => {
  it.each([
    ['garbage', 'say(Buffer.alloc(5000, "GET / HTTP/1.1\\r\\n"))'],
    ['a frame of 4 GiB', 'say(frame(Data, 0, 1, Buffer.alloc(10), 0xffffffff))'],
    ['a frame one byte over the limit', 'say(frame(Data, 0, 1, Buffer.alloc(0), 160 * 1024 + 1))'],
    ['an unknown type', 'say(frame(99, 0, 0))'],
    ['a type that only the host may send', 'say(frame(4, 1, 2, head(200, [])))'],
    ['unknown flags', 'say(frame(Response, 0x80, 1, head(200, [])))'],
    ['a response for another invocation', 'say(frame(Response, Both, 2, head(200, [], "stolen")))'],
    ['a response for invocation 0', 'say(frame(Response, Both, 0, head(200, [])))'],
    ['the end of another invocation', 'say(frame(Done, 0, 4294967295))'],
    ['the failure of another invocation', 'say(frame(Failed, 0, 7, Buffer.from("{}")))'],
    ['body of another invocation', 'say(frame(Data, 0, 3, Buffer.from("stolen")))'],
    [
      'a second response',
      'say(Buffer.concat([frame(Response, 0, 1, head(200, [])), frame(Response, 0, 1, head(200, []))]))',
    ],
    ['body before the response', 'say(frame(Data, 0, 1, Buffer.from("early")))'],
    [
      'body after the end',
      'say(Buffer.concat([frame(Response, End, 1, head(200, [])), frame(Data, 0, 1, Buffer.from("late"))]))',
    ],
    ['the end twice', 'say(Buffer.concat([frame(Response, Both, 1, head(200, [])), frame(Done, 0, 1)]))'],
    [
      'credit beyond all bounds',
      'say(frame(Window, 0, 1, u32(0xffffffff))); say(frame(Window, 0, 1, u32(0xffffffff)))',
    ],
    ['credit of the wrong size', 'say(frame(Window, 0, 1, Buffer.alloc(3)))'],
    ['a pong without a ping', 'say(frame(Pong, 0, 123456))'],
    [
      'a second hello',
      'say(frame(Hello, 0, 0, Buffer.from(JSON.stringify({ version: 1, node: "v24.0.0" }))))',
    ],
    ['a second loaded', 'say(frame(3, 0, 0, Buffer.from(JSON.stringify({ ok: true, form: "node" }))))'],
    [
      'its own end, twice',
      'const end = frame(Fatal, 0, 0, Buffer.from(JSON.stringify({ code: "FUNCTION_CRASHED", reason: "x", stack: "y" }))); say(Buffer.concat([end, end]))',
    ],
    ['a failure that is no JSON', 'say(frame(Failed, 0, 1, Buffer.from("{")))'],
    [
      'a failure with a code of the platform’s',
      'say(frame(Failed, 0, 1, Buffer.from(JSON.stringify({ code: "INTERNAL", reason: "x" }))))',
    ],
    [
      'a failure of 100 kB',
      'say(frame(Failed, 0, 1, Buffer.from(JSON.stringify({ code: "FUNCTION_FAILED", reason: "x".repeat(100000) }))))',
    ],
    [
      'JSON with __proto__',
      'say(frame(Fatal, 0, 0, Buffer.from(\'{"__proto__":{"x":1},"code":"FUNCTION_CRASHED","reason":"x","more":1}\')))',
    ],
    ['a head that is cut off', 'say(frame(Response, Both, 1, Buffer.from([200, 0, 255, 255, 1])))'],
    ['a head with a name and no value', 'say(frame(Response, Both, 1, head(200, ["lonely"])))'],
    ['a log line without a level', 'say(frame(Log, 0, 1, Buffer.from("\\0text")))'],
    [
      'a log line over the limit',
      'say(frame(Log, 0, 1, Buffer.concat([Buffer.from([30]), Buffer.alloc(70000)])))',
    ],
    ['dropped lines of the wrong form', 'say(frame(14, 0, 0, Buffer.alloc(7)))'],
  ])('%s', async (_name, deed) => {
    await arena.deploy('breaker', channelAttack(deed));
    const response = await arena.platform.call('attacker', 'breaker').catch(() => null);
    const text = (await response?.text().catch(() => 'cut off')) ?? 'cut off';
    // A response that had left already is whole, or cut off; there is no third thing.
    if (response?.status !== 200)
      expect(JSON.parse(text)).toMatchObject({ code: 'PROTOCOL_VIOLATION', status: 502 });
    expect(text).not.toMatch(/stolen|late|early/);
    await arena.logLine('breaker', /broke the protocol/);
    await arena.deploy('breaker', 'module.exports = (cb) => cb(null, 1)');
    expect((await arena.platform.call('attacker', 'breaker')).status).toBe(200);
  });
});

it('42: body without credit, to a caller that does not read, kills the sandbox', async () => {
  await arena.deploy(
    'breaker',
    channelAttack(
      'say(frame(Response, 0, 1, head(200, []))); for (let sent = 0; sent < 1000; sent++) say(frame(Data, 0, 1, Buffer.alloc(65536)))',
    ),
  );
  const socket = connect(arena.platform.port, '127.0.0.1').pause();
  socket.on('error', () => undefined).write('GET /run/attacker/breaker HTTP/1.1\r\nHost: a.test\r\n\r\n');
  await arena.logLine('breaker', /broke the protocol/);
  socket.destroy();
});

it('42: credit bit by bit, for a body that came, kills the sandbox', async () => {
  await arena.deploy(
    'breaker',
    channelAttack(
      'setTimeout(() => { for (let byte = 0; byte < 100_000; byte++) say(frame(Window, 0, 1, u32(1))); cb(null, 1); }, 500);',
    ),
  );
  const body = Buffer.alloc(200_000);
  const problem = await arena.platform.problem('attacker', 'breaker', { method: 'POST', body });
  expect(problem).toMatchObject({ code: 'PROTOCOL_VIOLATION', status: 502 });
});

const FLOOD_MS = 1_500;

describe('42: what is no breach, and yet no answer', () => {
  it.each([
    ['half a header', 'say(Buffer.alloc(5))'],
    ['half a frame', 'say(frame(Data, 0, 1, Buffer.alloc(10), 1000))'],
    ['a closed channel', 'fs.closeSync(channel)'],
    [
      'a channel that a child holds when its parent is gone',
      'require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: ["ignore", "ignore", "ignore", channel] }).on("spawn", () => process.exit(0))',
    ],
  ])('%s: an error with a stable code, and the sandbox is gone', async (_name, deed) => {
    const problem = await arena.problem(channelAttack(deed), 'mute');
    expect(['PROTOCOL_VIOLATION', 'FUNCTION_CRASHED', 'EVENT_LOOP_BLOCKED', 'TIMEOUT']).toContain(
      problem.code,
    );
    await arena.logLine('mute', /./);
  });

  it.each([
    ['empty body frames', 'say(frame(Response, 0, 1, head(200, [])))', 'frame(Data, 0, 1)'],
    ['grants of nothing', '', 'frame(Window, 0, 1, u32(0))'],
    ['log lines of one byte', '', 'frame(Log, 0, 1, Buffer.from([30, 120]))'],
    ['notes of dropped lines', '', 'frame(14, 0, 0, Buffer.alloc(8, 1))'],
  ])('a flood of %s: others are served in time', async (_name, first, frame) => {
    await arena.deploy(
      'flood',
      channelAttack(
        `${first}; const piece = Buffer.concat(Array.from({ length: 5000 }, () => ${frame})); const end = Date.now() + ${FLOOD_MS}; while (Date.now() < end) say(piece); process.exit();`,
      ),
    );
    const attack = arena.platform.call('attacker', 'flood').then(
      (response) => response.text().catch(() => 'cut off'),
      () => 'cut off',
    );
    const ended = new AbortController();
    const measured = neighbourGoesOn(attack).finally(() => ended.abort());
    let slowestMs = 0;
    while (!ended.signal.aborted) {
      const asked = performance.now();
      expect((await fetch(`${arena.platform.url}/healthz`)).status).toBe(200);
      slowestMs = Math.max(slowestMs, performance.now() - asked);
    }
    await measured;
    // A platform that the flood blocks would answer when it is over.
    expect(slowestMs).toBeLessThan(FLOOD_MS);
  });
});
