/**
 * V8 makes objects of a kind right in its old space once most of that kind have survived a small collection, as those of a burst of
 * slow requests do. From then on each such object keeps all of its request alive until the next full collection: pauses of 10 to
 * 20 ms, several a second, for as long as the process lives (docs/adr/0011-no-pretenuring.md).
 */
export const NO_PRETENURING = '--no-allocation-site-pretenuring';

/**
 * Of the Node.js that runs a tenant's code. Bytecode is made under the same ones but for the heap: V8 takes no other, neither ours nor
 * what Node.js brings of its own modules. So NO_PRETENURING is not among them; a sandbox sets it after its first invocation (src/runtime/main.ts).
 * @param heapMb mebibytes
 */
export function nodeFlags(heapMb: number): readonly string[] {
  return [`--max-old-space-size=${heapMb}`];
}
