/** AWS Lambda: `handler(event, context)`, with a promise or with a callback. */
import type { Exchange } from '../exchange.ts';
import { shapeOf } from '../parameter-names.ts';
import type { Handler, Program } from '../program.ts';
import { collectBody, MAX_COLLECTED_BYTES } from './collect-body.ts';
import { lambdaContext, lambdaEvent } from './lambda-event.ts';
import { answerLambda } from './lambda-result.ts';

type LambdaFunction = (event: unknown, context: unknown, callback: Finish) => unknown;
type Finish = (error: unknown, result?: unknown) => void;

const CALLBACK_AT = 3;
const TOO_LARGE = JSON.stringify({ message: `The body has more than ${MAX_COLLECTED_BYTES} bytes.` });

export function lambdaHandler(fn: (...values: never[]) => unknown, program: Program): Handler {
  const call = fn as LambdaFunction;
  const takesCallback = (shapeOf(fn, 'commonjs')?.parameters.length ?? fn.length) >= CALLBACK_AT;
  return (exchange) => {
    collectBody(exchange, (body) => {
      if (body === null)
        return exchange.respond(413, ['content-type', 'application/json'], Buffer.from(TOO_LARGE));
      void run({ exchange, call, takesCallback, program, body });
    });
  };
}

interface Run {
  readonly exchange: Exchange;
  readonly call: LambdaFunction;
  readonly takesCallback: boolean;
  readonly program: Program;
  readonly body: Buffer;
}

async function run({ exchange, call, takesCallback, program, body }: Run): Promise<void> {
  let isFinished = false;
  const finish: Finish = (error, result) => {
    if (isFinished) return;
    isFinished = true;
    if (error !== null && error !== undefined) return exchange.fail(error);
    try {
      answerLambda(exchange, result);
    } catch (thrown) {
      exchange.fail(thrown);
    }
  };
  try {
    const context = lambdaContext(exchange.head, program, finish);
    const returned = call(lambdaEvent(exchange.head, body, program), context, finish);
    const isPromise = typeof (returned as PromiseLike<unknown> | null | undefined)?.then === 'function';
    // A handler with a callback and no promise answers by its callback, whatever it returns.
    if (isPromise || !takesCallback) finish(null, await returned);
  } catch (error) {
    if (isFinished) program.logError(error);
    else finish(error ?? new Error('The handler failed without a reason.'));
  }
}
