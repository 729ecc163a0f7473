/**
 * What the runtime uses of the global object, held before any tenant's code runs. `buildRuntimeBundle` gives this file to
 * esbuild as `inject`, so every `Buffer`, `JSON`, … of the bundle means these: a tenant who overwrites the globals breaks
 * their own code and not the channel (hostile case 8). The host does not rely on it; it checks every frame.
 */
const native = globalThis;

const capturedBuffer = {
  alloc: native.Buffer.alloc,
  allocUnsafe: native.Buffer.allocUnsafe,
  byteLength: native.Buffer.byteLength,
  concat: native.Buffer.concat,
  from: native.Buffer.from,
  isBuffer: native.Buffer.isBuffer,
  of: native.Buffer.of.bind(native.Buffer),
};
const capturedJson = { parse: native.JSON.parse, stringify: native.JSON.stringify };
const capturedSetImmediate = native.setImmediate;
const capturedSetTimeout = native.setTimeout;
const capturedClearTimeout = native.clearTimeout;
const capturedProcess = native.process;
const capturedAbortController = native.AbortController;
const capturedURL = native.URL;
const capturedMap = native.Map;
const capturedError = native.Error;
const capturedPromise = native.Promise;

export {
  capturedAbortController as AbortController,
  capturedBuffer as Buffer,
  capturedClearTimeout as clearTimeout,
  capturedError as Error,
  capturedJson as JSON,
  capturedMap as Map,
  capturedProcess as process,
  capturedPromise as Promise,
  capturedSetImmediate as setImmediate,
  capturedSetTimeout as setTimeout,
  capturedURL as URL,
};
