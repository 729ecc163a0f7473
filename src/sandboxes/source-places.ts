/** From where the engine says that code runs to where its author wrote it: by the source map of the revision. */
import type { StackFrame } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import { withDeadline } from '../kernel/deadline.ts';
import { decodeLoad } from '../kernel/frame-heads.ts';
import type { Runnable } from './sandboxes.ts';
import { originOf } from './source-map.ts';

/** Where tenants' code seems to lie in a sandbox (the runtime's `CODE_DIR`). */
const CODE_DIR = '/fn/';
const READ_MS = 1_000;
const MAX_MAP_BYTES = 8 * 1024 * 1024;
/** Innermost frames whose place is looked up. */
const MAX_MAPPED = 3;
/** Looking up blocks the host: after each it rests this many times as long. A tenant who loops on purpose gets no more. */
const REST_FACTOR = 20;

export class SourcePlaces {
  readonly #clock: Clock;
  #restsUntil = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Never rejects: frames that cannot be mapped stay as the engine names them, without the folder of the sandbox. */
  async resolve(frames: readonly StackFrame[], runnable: Runnable): Promise<readonly StackFrame[]> {
    const plain = frames.map((frame) => ({ ...frame, file: plainName(frame.file) }));
    if (frames.length === 0 || this.#clock.monotonic() < this.#restsUntil) return plain;
    try {
      const { spec, sourceMap } = decodeLoad(await withDeadline(this.#clock, READ_MS, runnable.load()));
      // Deployed anew in the meantime: its map is not that of the code that runs.
      if (spec.revision !== runnable.revision) return plain;
      if (sourceMap === null || sourceMap.length > MAX_MAP_BYTES) return plain;
      return this.#map(plain, Buffer.from(sourceMap), spec.filename);
    } catch {
      // The place is help, not truth: a revision that cannot be read any more leaves the engine's own.
      return plain;
    }
  }

  #map(frames: readonly StackFrame[], json: Buffer, filename: string): readonly StackFrame[] {
    const start = this.#clock.monotonic();
    const mapped = frames.map((frame, index) => {
      const origin = index < MAX_MAPPED && frame.file === filename ? originOf(json, frame) : null;
      if (origin === null) return frame;
      const { source, line, column } = origin;
      return { ...frame, file: plainName(source), line, column };
    });
    const end = this.#clock.monotonic();
    this.#restsUntil = end + (end - start) * REST_FACTOR;
    return mapped;
  }
}

function plainName(file: string): string {
  const path = file.replace(/^file:\/\//, '');
  return path.startsWith(CODE_DIR) ? path.slice(CODE_DIR.length) : path;
}
