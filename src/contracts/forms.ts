/**
 * Programming models ("forms") and how they are told apart. One set of rules, used at deploy on the source's text and
 * in the runtime on the exported value where the text could not tell.
 */
import { z } from 'zod';

/**
 * - `webtask`: `(cb)`, `(ctx, cb)`, `(ctx, req, res)`
 * - `context`: `async (ctx)`; the returned value is the result
 * - `node`: `(req, res)`, Express, Koa, Fastify, `http.Server`
 * - `fetch`: `{ fetch(request, env, ctx) }` or `(request, env, ctx) => Response`
 * - `lambda`: `handler(event, context)`
 * - `auto`: the text cannot tell; the runtime looks at the exported value when it loads
 */
export const forms = ['webtask', 'context', 'node', 'fetch', 'lambda', 'auto'] as const;
export const formSchema = z.enum(forms);
export type Form = z.infer<typeof formSchema>;
export type ModuleKind = 'commonjs' | 'esm';

export interface FunctionShape {
  readonly moduleKind: ModuleKind;
  /** Parameter names in order; a default value is left out, a destructured one is its pattern's text: `{ data }`. */
  readonly parameters: readonly string[];
  readonly isAsync: boolean;
}

const CALLBACK = /^_?(?:cb|callback|done|next|fn)$/i;
const CONTEXT = /^_?(?:ctx|context|webtask|webtaskContext)$/i;
const REQUEST = /^_?(?:req|request|incoming|incomingMessage)$/i;
const RESPONSE = /^_?(?:res|resp|response|reply|outgoing)$/i;
const EVENT = /^_?(?:event|evt)$/i;
const ENVIRONMENT = /^_?env$|^\{/i;
const PATTERN = /^\{/;
const REST = /^\.\.\./;
/** What `ctx` has and a `Request` has not: tells `({ data })` from `({ url })`. */
const CONTEXT_MEMBER = /[{,]\s*(?:data|query|secrets|params|meta|storage|body_raw)\b/;

/**
 * The form of a function that is itself the export (not a `handler` or `fetch` member). Names that say what they are
 * decide first; then the module kind: an ES default export is a web-standard function, CommonJS is a webtask function.
 */
export function classifyFunction(shape: FunctionShape): Exclude<Form, 'auto'> {
  return byNames(shape.parameters) ?? (shape.moduleKind === 'esm' ? ofModule(shape) : ofScript(shape));
}

function byNames(parameters: readonly string[]): Exclude<Form, 'auto'> | null {
  const [first = '', second = '', third = ''] = parameters;
  const count = parameters.length;
  if (count >= 2 && REQUEST.test(first) && RESPONSE.test(second)) return 'node';
  if (count === 3 && REQUEST.test(second) && RESPONSE.test(third)) return 'webtask';
  if (EVENT.test(first) && count <= 3) return 'lambda';
  if (count === 2 && CALLBACK.test(second)) return 'webtask';
  if (count === 1 && CALLBACK.test(first)) return 'webtask';
  if (REQUEST.test(first) && (count === 1 || ENVIRONMENT.test(second))) return 'fetch';
  if (count === 1 && CONTEXT.test(first)) return 'context';
  return null;
}

function ofModule({ parameters }: FunctionShape): Exclude<Form, 'auto'> {
  const [first = ''] = parameters;
  return parameters.length === 1 && PATTERN.test(first) && CONTEXT_MEMBER.test(first) ? 'context' : 'fetch';
}

function ofScript({ parameters, isAsync }: FunctionShape): Exclude<Form, 'auto'> {
  const [first = ''] = parameters;
  // A listener that was wrapped: `(...args) => listener(...args)`.
  if (REST.test(first)) return 'node';
  if (parameters.length === 0) return 'context';
  // A callback cannot be taken apart, and an async function has no need of one.
  if (parameters.length === 1 && (isAsync || PATTERN.test(first))) return 'context';
  return 'webtask';
}
