/**
 * The owner of the worker thread that analyses sources: starts it when needed, one job at a time, each with a deadline.
 * Tenants take turns: one who sends what takes long delays the others by one job at most.
 */
import { Worker } from 'node:worker_threads';
import { FairTurns } from '../kernel/fair-turns.ts';
import type { Analysis, AnalysisRequest } from './analysis.ts';

/** Several times what the largest code takes that a revision may have. */
const JOB_WITHIN_MS = 5_000;
const HEAP_MB = 512;

export class Analyser {
  #worker: Worker | null = null;
  readonly #turns = new FairTurns();
  #isClosed = false;

  /** Hostile text that outlasts its deadline or the memory counts as `too-deep`. @param owner whose turn it takes */
  async analyse(owner: string, request: AnalysisRequest): Promise<Analysis> {
    return this.#turns.run(owner, () => this.#run(request));
  }

  /** What runs is let finish; what waits fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#turns.run('', () => this.#stop());
  }

  async #run(request: AnalysisRequest): Promise<Analysis> {
    if (this.#isClosed) throw new Error('the preparer is closed');
    const worker = (this.#worker ??= startWorker());
    worker.ref();
    const { promise, resolve } = Promise.withResolvers<Analysis | null>();
    const giveUp = (): void => resolve(null);
    const timer = setTimeout(giveUp, JOB_WITHIN_MS);
    worker.once('message', resolve).once('error', giveUp).once('exit', giveUp);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    worker.postMessage(request);
    const analysis = await promise;
    clearTimeout(timer);
    worker.off('message', resolve).off('exit', giveUp);
    if (analysis === null) {
      await this.#stop();
      return { kind: 'too-deep' };
    }
    worker.off('error', giveUp);
    worker.unref();
    return analysis;
  }

  async #stop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
  }
}

function startWorker(): Worker {
  const worker = new Worker(new URL('./analysis-worker.ts', import.meta.url), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    env: {},
  });
  worker.unref();
  return worker;
}
