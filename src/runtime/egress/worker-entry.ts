/** The runtime in a worker thread: sockets and look-ups lead to the channel, and everything else is as code expects it. */
import { syncBuiltinESMExports } from 'node:module';
import threads from 'node:worker_threads';
import { installConnect } from './connect.ts';
import { EgressPort } from './egress-port.ts';
import { installLocalProxy } from './local-proxy.ts';
import { installLookups } from './lookups.ts';
import { postFrame, type ThreadFrame } from './thread-frames.ts';
import { entryArguments, installWorkers, type WorkerBaggage } from './workers.ts';

const NOTHING = new Uint8Array(0);

/** Once, before the worker's own code. */
export function enterWorker(): void {
  const { port: parent, runtimeFile, data } = threads.workerData as WorkerBaggage;
  (threads as { workerData: unknown }).workerData = data;
  process.execArgv = process.execArgv.slice(0, -entryArguments(runtimeFile).length);
  const port = new EgressPort({
    send: (type, flags, stream, payload = NOTHING) => postFrame(parent, [type, flags, stream, payload]),
    // A worker serves whom it likes; the host counts hops by what this sandbox was asked lately.
    currentInvocation: () => 0,
    onUncaught: (thrown) => {
      throw thrown;
    },
    onAwaited: (isAwaited) => (isAwaited ? parent.ref() : parent.unref()),
  });
  parent.on('message', ([type, flags, stream, payload]: ThreadFrame) =>
    port.onFrame(type, flags, stream, Buffer.from(payload.buffer, payload.byteOffset, payload.length)),
  );
  parent.unref();
  installConnect(port);
  installLookups(port);
  const detached = <T>(action: () => T): T => action();
  installLocalProxy({ detached });
  installWorkers({ port, runtimeFile, detached });
  syncBuiltinESMExports();
}
