/** The prepared code of revisions used last, so that another sandbox of a busy function does not ask the store for it. */
import type { PreparedCode, Revision } from '../contracts/model.ts';

export interface CachedRevision {
  readonly revision: Revision;
  readonly code: Pick<PreparedCode, 'code' | 'sourceMap'>;
  readonly bytecode: Uint8Array | null;
}

export class CodeCache {
  readonly #maxBytes: number;
  /** oldest use first */
  readonly #entries = new Map<string, CachedRevision>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): CachedRevision | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  set(key: string, entry: CachedRevision): void {
    this.delete(key);
    const size = sizeOf(entry);
    if (size > this.#maxBytes) return;
    this.#entries.set(key, entry);
    this.#bytes += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= sizeOf(entry);
  }
}

function sizeOf({ code, bytecode }: CachedRevision): number {
  return code.code.length + (code.sourceMap?.length ?? 0) + (bytecode?.length ?? 0);
}
