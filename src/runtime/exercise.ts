/**
 * While a sandbox waits in the pool it runs every form, against a channel that leads nowhere: what a function needs is then
 * compiled, and its first response takes no longer than the later ones. One step at a time, so that Load is not kept waiting.
 */
import { FrameFlag, FrameType, FRAME_HEADER_BYTES, type LoadSpec } from '../contracts/frames.ts';
import type { Form } from '../contracts/forms.ts';
import { encodeLoad, encodeRequestHead } from '../kernel/frame-heads.ts';
import type { ListenTrap } from './listen-trap.ts';
import { Runtime } from './runtime.ts';

const ROUNDS = 2;
interface Dummy {
  readonly form: Form;
  readonly evaluate: 'script' | 'module';
  readonly code: string;
}
const programs: readonly Dummy[] = [
  { form: 'webtask', evaluate: 'script', code: 'module.exports = (ctx, cb) => cb(null, { a: ctx.data.a })' },
  { form: 'context', evaluate: 'script', code: 'module.exports = async (ctx) => ({ a: new Date(0) })' },
  { form: 'node', evaluate: 'script', code: 'module.exports = (req, res) => res.end(req.headers.host)' },
  {
    form: 'lambda',
    evaluate: 'script',
    code: 'exports.handler = async (event, context) => ({ statusCode: 200 })',
  },
  {
    form: 'context',
    evaluate: 'module',
    code: 'import "node:crypto"; export default async (ctx) => ctx.query',
  },
];
/** Apart from the others: it loads Node's Fetch, which costs 20 ms and 4 MB. */
const fetchProgram: Dummy = {
  form: 'fetch',
  evaluate: 'module',
  code: 'export default { fetch: (r) => new Response(new URL(r.url).pathname) }',
};

export interface ExerciseOptions {
  readonly trap: ListenTrap;
  readonly now: () => number;
}

export class Exercise {
  readonly #options: ExerciseOptions;
  #running: Promise<void> = Promise.resolve();
  #isWanted = true;

  constructor(options: ExerciseOptions) {
    this.#options = options;
  }

  /** Once; what goes wrong in it is an error that nobody caught. */
  start(withFetch: boolean): void {
    this.#running = this.#run(withFetch ? [...programs, fetchProgram] : programs);
  }

  /** Resolves when the present step is over; no other follows. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    await this.#running;
  }

  async #run(dummies: readonly Dummy[]): Promise<void> {
    for (const [index, dummy] of dummies.entries()) {
      await inputRead();
      if (!this.#isWanted) return;
      await run(dummy, index, this.#options);
    }
    crypto.randomUUID();
    new TextDecoder().decode(new TextEncoder().encode('warm'));
  }
}

/** Load may be there already. */
async function inputRead(): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
}

async function run({ form, evaluate, code }: Dummy, index: number, options: ExerciseOptions): Promise<void> {
  const ended = Promise.withResolvers<void>();
  let left = ROUNDS;
  const sink = { write: () => true, cork: () => undefined, uncork: () => undefined };
  const runtime = new Runtime({
    ...options,
    sink,
    ownsProcess: false,
    exercise: atRest,
    onFirstOver: () => undefined,
    onUncaught: ended.reject,
  });
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

/** For runtimes that do not wait in a pool. */
export const atRest = { start: (): void => undefined, stop: (): Promise<void> => Promise.resolve() };

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
  return encodeLoad(spec, { code: Buffer.from(code), sourceMap: null, bytecode: null });
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
