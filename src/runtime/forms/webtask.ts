/** The webtask forms `(cb)`, `(ctx, cb)` and `(ctx, req, res)`, and `async (ctx)`: the returned value is the result. */
import type { Exchange } from '../exchange.ts';
import { shapeOf } from '../parameter-names.ts';
import { FormUnknown, type Handler, type Program } from '../program.ts';
import { collectBody, MAX_COLLECTED_BYTES } from './collect-body.ts';
import { isResponse, sendResponse } from './fetch-response.ts';
import { openNodeExchange } from './node-exchange.ts';
import {
  answerException,
  answerPreflight,
  answerResult,
  answerReturnedError,
  answerTooLarge,
} from './webtask-answers.ts';
import { readQuery, setBody, WebtaskContext } from './webtask-context.ts';
import { wtHeader } from './webtask-request.ts';

type Callback = (error: unknown, result?: unknown) => void;
type WebtaskFunction = (...values: unknown[]) => unknown;

export function webtaskHandler(fn: (...values: never[]) => unknown, program: Program): Handler {
  const call = fn as WebtaskFunction;
  // A parameter with a default does not count in `length`.
  const arity = shapeOf(fn, 'commonjs')?.parameters.length ?? fn.length;
  if (arity === 3) return streamingHandler(call, program);
  if (arity !== 1 && arity !== 2)
    throw new FormUnknown(`A webtask function has 1, 2 or 3 parameters, and this one has ${arity}.`);
  return withContext(program, (exchange, ctx) =>
    callWithCallback(exchange, program, (cb) => (arity === 1 ? call(cb) : call(ctx, cb))),
  );
}

export function contextHandler(fn: (...values: never[]) => unknown, program: Program): Handler {
  const call = fn as WebtaskFunction;
  return withContext(program, (exchange, ctx) => void answerReturned(exchange, call, ctx));
}

async function answerReturned(exchange: Exchange, call: WebtaskFunction, ctx: WebtaskContext): Promise<void> {
  try {
    const result = await call(ctx);
    if (isResponse(result)) await sendResponse(exchange, result);
    else answerResult(exchange, result);
  } catch (error) {
    exchange.fail(error);
  }
}

/** Makes `ctx`, with the body where it is wanted, and calls on the invocation's behalf. */
function withContext(program: Program, run: (exchange: Exchange, ctx: WebtaskContext) => void): Handler {
  return (exchange) => {
    if (answerPreflight(exchange)) return;
    const { own, parseBody, mergeBody } = readQuery(exchange.head.url, program.spec);
    const ctx = new WebtaskContext(exchange, program.spec, own);
    if (parseBody === 0) return run(exchange, ctx);
    collectBody(exchange, (raw) => {
      if (raw === null) return answerTooLarge(exchange, MAX_COLLECTED_BYTES);
      setBody(ctx, raw, mergeBody);
      run(exchange, ctx);
    });
  };
}

/** The first of: the callback, a promise that gives a value or fails, a returned value that can only be meant as result. */
function callWithCallback(exchange: Exchange, program: Program, call: (callback: Callback) => unknown): void {
  let isAnswered = false;
  const answer: Callback = (error, result) => {
    if (isAnswered) return;
    isAnswered = true;
    try {
      if (error) answerFailure(exchange, program, error);
      else if (isResponse(result)) void sendOrFail(exchange, result);
      else answerResult(exchange, result);
    } catch (thrown) {
      // A value that throws when it is looked at: nobody else would answer any more.
      exchange.fail(thrown);
    }
  };
  let returned: unknown;
  try {
    returned = call(answer);
  } catch (error) {
    if (isAnswered) return program.logError(error);
    isAnswered = true;
    program.logError(error);
    return answerException(exchange, error);
  }
  if (isThenable(returned)) void answerSettled(returned, answer);
  else if (isPlainResult(returned)) answer(null, returned);
}

/** An async function that calls its callback gives undefined: then the callback is waited for. */
async function answerSettled(returned: PromiseLike<unknown>, answer: Callback): Promise<void> {
  try {
    const result = await returned;
    if (result !== undefined) answer(null, result);
  } catch (error) {
    answer(error ?? new Error('The promise was rejected without a reason.'));
  }
}

async function sendOrFail(exchange: Exchange, response: Response): Promise<void> {
  try {
    await sendResponse(exchange, response);
  } catch (error) {
    exchange.fail(error);
  }
}

function answerFailure(exchange: Exchange, program: Program, error: unknown): void {
  program.logError(error);
  answerReturnedError(exchange, error);
}

/** `(ctx, req, res)`: the body is not touched unless the token or the query asks for it. */
function streamingHandler(call: WebtaskFunction, program: Program): Handler {
  const run = async (exchange: Exchange, ctx: WebtaskContext): Promise<void> => {
    const { request, response } = openNodeExchange(exchange);
    Object.assign(request, { x_wt: wtHeader(exchange, program.spec), body: ctx.body, webtaskContext: ctx });
    try {
      await call(ctx, request, response);
    } catch (error) {
      program.logError(error);
      if (exchange.response.hasBegun) exchange.fail(error);
      else answerException(exchange, error);
    }
  };
  return (exchange) => {
    const { own, parseBody, mergeBody } = readQuery(exchange.head.url, program.spec);
    const ctx = new WebtaskContext(exchange, program.spec, own);
    if (parseBody !== 1) return void run(exchange, ctx);
    collectBody(exchange, (raw) => {
      if (raw === null) return answerTooLarge(exchange, MAX_COLLECTED_BYTES);
      setBody(ctx, raw, mergeBody);
      void run(exchange, ctx);
    });
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}

/**
 * `(ctx, cb) => setTimeout(…)` and `(cb) => list.push(cb)` return what nobody means as a result. So only text, arrays,
 * plain objects and a `Response` count.
 */
function isPlainResult(value: unknown): boolean {
  if (typeof value === 'string' || Array.isArray(value) || isResponse(value)) return true;
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
