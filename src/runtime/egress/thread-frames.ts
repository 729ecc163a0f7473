/** Frames of egress between threads: those of the channel, as messages. */
import type { MessagePort } from 'node:worker_threads';
import type { FrameType } from '../../contracts/frames.ts';

export type ThreadFrame = readonly [type: FrameType, flags: number, stream: number, payload: Uint8Array];

/** The payload may be used anew afterwards: a message would take all the memory along that it lies in. */
export function postFrame(port: MessagePort, [type, flags, stream, payload]: ThreadFrame): void {
  const own = new Uint8Array(payload);
  port.postMessage([type, flags, stream, own] satisfies ThreadFrame, [own.buffer]);
}
