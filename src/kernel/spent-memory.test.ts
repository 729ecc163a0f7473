import { describe, expect, it } from 'vitest';
import { RELEASE_FROM_BYTES, releaseLast, releaseWhole } from './spent-memory.ts';

const large = (): Buffer => Buffer.from(new ArrayBuffer(RELEASE_FROM_BYTES));

describe('memory of body bytes', () => {
  it('is given back at once where it is large and has one owner', () => {
    const bytes = large();
    releaseWhole(bytes);
    expect(bytes.length).toBe(0);
    expect(bytes.buffer.byteLength).toBe(0);
  });

  it('stays while only a part of it is done with', () => {
    const bytes = large();
    releaseWhole(bytes.subarray(1));
    releaseWhole(bytes.subarray(0, 100));
    releaseLast(bytes.subarray(0, RELEASE_FROM_BYTES - 1));
    expect(bytes.length).toBe(RELEASE_FROM_BYTES);
  });

  it('goes with the last of its pieces', () => {
    const bytes = large();
    releaseLast(bytes.subarray(RELEASE_FROM_BYTES / 2));
    expect(bytes.length).toBe(0);
  });

  it('stays where it is small', () => {
    const bytes = Buffer.from(new ArrayBuffer(RELEASE_FROM_BYTES - 1));
    releaseWhole(bytes);
    expect(bytes.length).toBe(RELEASE_FROM_BYTES - 1);
  });

  it('stays where it is the pool that Node shares out among small buffers', () => {
    const pooled = Buffer.from('small');
    releaseWhole(Buffer.from(pooled.buffer));
    releaseLast(Buffer.from(pooled.buffer, 1));
    expect(pooled.toString()).toBe('small');
  });
});
