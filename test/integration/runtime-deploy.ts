/** Prepares sources as a deploy does, and loads them into a runtime. One at a time. */
import { afterEach, expect } from 'vitest';
import type { LoadSpec } from '../../src/contracts/frames.ts';
import { createPreparer } from '../../src/modules/code-preparer.ts';
import { type PeerInvocation, RuntimePeer } from './runtime-peer.ts';

const preparer = createPreparer();
let current: RuntimePeer | null = null;

afterEach(async () => {
  const violations = current?.violations;
  await current?.stop();
  current = null;
  expect(violations ?? []).toEqual([]);
});

/** @param form what the runtime must say that the function is */
export async function deploy(text: string, form: string, spec: Partial<LoadSpec> = {}): Promise<RuntimePeer> {
  const filename = spec.filename ?? 'hello.js';
  const prepared = await preparer.prepare({
    owner: 'acme',
    source: Buffer.from(text),
    filename,
    ...(spec.form === undefined ? {} : { form: spec.form }),
  });
  const { moduleKind, evaluate } = prepared;
  const { code, sourceMap } = prepared.prepared;
  const peer = await start();
  const loaded = await peer.load(
    Buffer.from(code),
    { ...spec, filename, moduleKind, evaluate, form: prepared.form },
    sourceMap,
  );
  expect(loaded).toEqual({ ok: true, form });
  return peer;
}

/** A blank runtime, stopped after the test. */
export async function start(): Promise<RuntimePeer> {
  current = await RuntimePeer.start();
  return current;
}

export const json = ({ body }: PeerInvocation): unknown => JSON.parse(body);
