/** Thread in which sources are analysed, one at a time; its owner ends it when it takes too long or too much memory. */
import { parentPort } from 'node:worker_threads';
import { analyse } from './analyse.ts';
import type { AnalysisRequest } from './analysis.ts';

parentPort!.on('message', (request: AnalysisRequest) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort!.postMessage(analyse(request));
});
