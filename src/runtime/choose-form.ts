/** Decides how the exported value is called. A form that was set, by hand or from the text at deploy, is followed. */
import type http from 'node:http';
import { classifyFunction, type Form, type ModuleKind } from '../contracts/forms.ts';
import type { Evaluated } from './evaluate.ts';
import { fetchHandler } from './forms/fetch.ts';
import { lambdaHandler } from './forms/lambda.ts';
import { nodeHandler, type NodeApp } from './forms/node.ts';
import { contextHandler, webtaskHandler } from './forms/webtask.ts';
import { isHttpServer } from './listen-trap.ts';
import { shapeOf } from './parameter-names.ts';
import { FormUnknown, type ChosenForm, type Handler, type Program } from './program.ts';

type AnyFunction = (...values: never[]) => unknown;
type FixedForm = Exclude<Form, 'auto'>;

/** What a revision offers: its default or only export, and its named ones. */
interface Exports {
  readonly value: unknown;
  readonly named: Readonly<Record<string, unknown>>;
  /** The first HTTP server that was told to listen: the app where nothing is exported, and where upgrades go. */
  readonly server: http.Server | null;
}

export async function chooseForm(
  evaluated: Evaluated,
  server: http.Server | null,
  program: Program,
): Promise<ChosenForm> {
  const exports = { ...exportsOf(evaluated), server };
  const app = await nodeAppOf(exports);
  const form =
    program.spec.form === 'auto' ? detect(exports, app, program.spec.moduleKind) : program.spec.form;
  return { form, handler: await handlerOf(form, exports, app, program) };
}

/** Whether anything is exported; if not, the code may be about to call `listen`. */
export function isEmpty(evaluated: Evaluated): boolean {
  const { value } = exportsOf(evaluated);
  return (
    value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
  );
}

function exportsOf({ exported, isNamespace }: Evaluated): Omit<Exports, 'server'> {
  const isObject = (typeof exported === 'object' || typeof exported === 'function') && exported !== null;
  if (!isObject) return { value: exported, named: {} };
  const named = exported as Record<string, unknown>;
  const hasDefault = (isNamespace || named.__esModule === true) && named.default !== undefined;
  if (!hasDefault) return { value: exported, named };
  // `export default` of a bundle within a bundle: the default export is a module with a default export again.
  const inner = named.default as Record<string, unknown> | null;
  const value = inner?.__esModule === true && inner.default !== undefined ? inner.default : inner;
  return { value, named };
}

async function nodeAppOf({ value, server }: Exports): Promise<NodeApp | null> {
  if (isHttpServer(value)) return { listener: null, server: value };
  if (isCallable(value)) return isCallable(member(value, 'handle')) ? { listener: value, server } : null;
  const koa = member(value, 'callback');
  if (isCallable(koa) && Array.isArray(member(value, 'middleware')))
    return { listener: Reflect.apply(koa, value, []) as AnyFunction, server };
  const routing = member(value, 'routing');
  const ready = member(value, 'ready');
  if (isCallable(routing) && isCallable(ready)) {
    await Reflect.apply(ready, value, []);
    const own = member(value, 'server');
    return { listener: routing.bind(value) as AnyFunction, server: isHttpServer(own) ? own : server };
  }
  return server === null ? null : { listener: null, server };
}

function detect({ value, named }: Exports, app: NodeApp | null, moduleKind: ModuleKind): FixedForm {
  if ((app?.listener ?? null) !== null || isHttpServer(value)) return 'node';
  if (isCallable(value)) {
    const shape = shapeOf(value, moduleKind);
    if (shape === null) throw new FormUnknown('it exports a class, which is not called by itself');
    return classifyFunction(shape);
  }
  if (isCallable(member(value, 'fetch'))) return 'fetch';
  if (isCallable(named.handler) || isCallable(member(value, 'handler'))) return 'lambda';
  if (isCallable(named.fetch)) return 'fetch';
  if (app !== null) return 'node';
  throw new FormUnknown('Supplied code must return or export a function.');
}

async function handlerOf(
  form: FixedForm,
  exports: Exports,
  app: NodeApp | null,
  program: Program,
): Promise<Handler> {
  const { value, named } = exports;
  switch (form) {
    case 'node':
      return nodeHandler(
        app ?? { listener: callable(value, 'a listener (req, res) or an app'), server: exports.server },
        program,
      );
    case 'fetch': {
      const owner = isCallable(member(value, 'fetch')) || !isCallable(named.fetch) ? value : named;
      const fn = member(owner, 'fetch') ?? value;
      return fetchHandler(callable(fn, 'a fetch function'), owner, program);
    }
    case 'lambda': {
      const fn = [named.handler, member(value, 'handler'), value].find(isCallable);
      return lambdaHandler(callable(fn, 'a function "handler"'), program);
    }
    case 'context':
      return contextHandler(callable(value, 'a function'), program);
    case 'webtask':
      // An Express app in the webtask form is called as what it is (wt-cli issue 225).
      if (app !== null && app.listener !== null) return nodeHandler(app, program);
      return webtaskHandler(callable(value, 'a function'), program);
  }
}

function callable(value: unknown, what: string): AnyFunction {
  if (isCallable(value)) return value;
  throw new FormUnknown(`Supplied code must return or export a function. (This form wants ${what}.)`);
}

function isCallable(value: unknown): value is AnyFunction {
  return typeof value === 'function';
}

function member(value: unknown, name: string): unknown {
  const holds = (typeof value === 'object' && value !== null) || typeof value === 'function';
  return holds ? (value as Record<string, unknown>)[name] : undefined;
}
