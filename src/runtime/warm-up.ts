/**
 * Runs every form once before Hello, against a channel that leads nowhere: what a function needs is then compiled, and
 * its first response takes no longer than the later ones.
 */
import { FrameFlag, FrameType, FRAME_HEADER_BYTES, type LoadSpec } from '../contracts/frames.ts';
import type { Form } from '../contracts/forms.ts';
import { encodeLoad, encodeRequestHead } from '../kernel/frame-heads.ts';
import type { ListenTrap } from './listen-trap.ts';
import { Runtime } from './runtime.ts';

const ROUNDS = 2;
const programs: readonly { form: Form; evaluate: 'script' | 'module'; code: string }[] = [
  { form: 'webtask', evaluate: 'script', code: 'module.exports = (ctx, cb) => cb(null, { a: ctx.data.a })' },
  { form: 'context', evaluate: 'script', code: 'module.exports = async (ctx) => ({ a: new Date(0) })' },
  { form: 'node', evaluate: 'script', code: 'module.exports = (req, res) => res.end(req.headers.host)' },
  {
    form: 'auto',
    evaluate: 'script',
    code: 'exports.handler = async (event, context) => ({ statusCode: 200 })',
  },
  {
    form: 'fetch',
    evaluate: 'module',
    code: 'import "node:crypto"; export default { fetch: (r) => new Response(new URL(r.url).pathname) }',
  },
];

export async function warmUp(options: { trap: ListenTrap; now: () => number }): Promise<void> {
  for (const [index, program] of programs.entries()) await run(program, index, options);
  crypto.randomUUID();
  new TextDecoder().decode(new TextEncoder().encode('warm'));
}

async function run(
  { form, evaluate, code }: (typeof programs)[number],
  index: number,
  options: { trap: ListenTrap; now: () => number },
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  let left = ROUNDS;
  const sink = { write: () => true, cork: () => undefined, uncork: () => undefined };
  const runtime = new Runtime({ ...options, sink, ownsProcess: false, onUncaught: ended.reject });
  const over = runtime.channel.over.bind(runtime.channel);
  runtime.channel.over = (stream) => {
    over(stream);
    if (--left === 0) ended.resolve();
  };
  runtime.receive(frame(FrameType.Load, 0, 0, load(form, evaluate, { code, index })));
  for (let stream = 1; stream <= ROUNDS; stream++)
    runtime.receive(frame(FrameType.Request, FrameFlag.End, stream, request));
  await ended.promise;
  runtime.channel.flush();
}

const request = encodeRequestHead({
  method: 'GET',
  url: '/?a=b',
  basePath: '',
  remoteAddress: '127.0.0.1',
  scheme: 'http',
  invocation: 'warm',
  headers: ['Host', 'localhost', 'Accept', '*/*'],
});

function load(
  form: Form,
  evaluate: 'script' | 'module',
  { code, index }: { code: string; index: number },
): Buffer {
  const spec: Omit<LoadSpec, 'parts'> = {
    tenant: 'warm',
    fn: 'warm',
    revision: 'warm',
    form,
    moduleKind: evaluate === 'module' ? 'esm' : 'commonjs',
    evaluate,
    filename: `warm-${index}.js`,
    secrets: {},
    env: {},
    meta: {},
    webtask: null,
    limits: {
      wallMs: 1_000,
      logLineBytes: 1_000,
      logBytesPerSecond: 1_000,
      responseHeaderBytes: 16_384,
      memoryBytes: 1,
    },
  };
  return encodeLoad(spec, { code: Buffer.from(code), sourceMap: null, codeCache: null });
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUInt32LE(payload.length, 0);
  bytes[4] = type;
  bytes[5] = flags;
  bytes.writeUInt32LE(stream, 6);
  payload.copy(bytes, FRAME_HEADER_BYTES);
  return bytes;
}
