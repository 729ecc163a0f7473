/**
 * Worker threads have modules of their own, without our `connect` and look-ups. `new Worker` of tenants' code lets each load the
 * runtime's bundle first (worker-entry.ts), and hands it a port that leads to the channel by way of the thread that made it.
 */
import { syncBuiltinESMExports } from 'node:module';
import threads, {
  MessageChannel,
  type MessagePort,
  type Worker,
  type WorkerOptions,
} from 'node:worker_threads';
import type { EgressPort } from './egress-port.ts';
import { WorkerRelay } from './worker-relay.ts';

export interface WorkersOptions {
  readonly port: EgressPort;
  /** The path of the bundle. */
  readonly runtimeFile: string;
  /** Runs outside of any invocation: what workers do is nobody's in particular. */
  readonly detached: <T>(action: () => T) => T;
}

/** What a worker finds as its `workerData` until it has entered. */
export interface WorkerBaggage {
  readonly port: MessagePort;
  readonly runtimeFile: string;
  /** What the code gives as `workerData`. */
  readonly data: unknown;
}

/** A proxy and not a subclass: code sees Node's own class, by its name, its prototype and `instanceof`. */
export function installWorkers(options: WorkersOptions): void {
  threads.Worker = new Proxy(threads.Worker, {
    construct(target, [filename, given, ...more]: unknown[], newTarget) {
      const isUnfit = given !== undefined && (typeof given !== 'object' || given === null);
      // What is no valid argument is left to Node, which says so.
      if (isUnfit) return Reflect.construct(target, [filename, given, ...more], newTarget) as Worker;
      const { port1: ours, port2: its } = new MessageChannel();
      try {
        const values = [filename, workerOptions(given ?? {}, its, options), ...more];
        const worker = Reflect.construct(target, values, newTarget) as Worker;
        options.detached(() => new WorkerRelay(options.port, ours));
        return worker;
      } catch (error) {
        ours.close();
        throw error;
      }
    },
  });
  syncBuiltinESMExports();
}

function workerOptions(
  given: WorkerOptions,
  port: MessagePort,
  { runtimeFile }: WorkersOptions,
): WorkerOptions {
  const baggage: WorkerBaggage = { port, runtimeFile, data: given.workerData };
  return {
    ...given,
    workerData: baggage,
    transferList: [...(given.transferList ?? []), port],
    execArgv: [...(given.execArgv ?? inheritedArguments()), ...entryArguments(runtimeFile)],
  };
}

/** Those of the main thread are for the process and not allowed for workers. */
function inheritedArguments(): readonly string[] {
  return threads.isMainThread ? [] : process.execArgv;
}

/** Node runs it in the worker before the worker's own code, of whatever kind that is. */
export function entryArguments(runtimeFile: string): readonly string[] {
  return ['--require', runtimeFile];
}
