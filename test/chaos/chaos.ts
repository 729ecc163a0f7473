/** Runs one fault under load: before it, during it and after it, then the end of the platform. */
import { setTimeout as delay } from 'node:timers/promises';
import { rm } from 'node:fs/promises';
import { TestPlatform } from '../support/platform.ts';
import type { Fault } from './faults.ts';
import { CALM_MS, judge, type Verdict } from './judge.ts';
import { Load } from './load.ts';

export interface ChaosOptions {
  readonly perSecond: number;
  readonly recoverWithinMs: number;
}

const BEFORE_MS = 1_500;
const LOOK_MS = 100;

export async function strike(fault: Fault, { perSecond, recoverWithinMs }: ChaosOptions): Promise<Verdict> {
  const place = await fault.prepare?.();
  try {
    const platform = await TestPlatform.start(place?.env, place?.start);
    const load = new Load(platform);
    await load.prepare();
    load.start(perSecond);
    await delay(BEFORE_MS);
    await fault.strike({ platform, load });
    const endOfFault = performance.now();
    const giveUpAt = endOfFault + recoverWithinMs + 2 * CALM_MS;
    while (!load.isCalm(endOfFault, CALM_MS + LOOK_MS) && performance.now() < giveUpAt) await delay(LOOK_MS);
    const endOfLoad = performance.now();
    await load.stop();
    const lost = await load.lost();
    await platform.end('SIGTERM');
    const all = await platform.leftovers();
    const left = all.filter((what) => !(place?.isMounted && isMountOf(what, platform.dataDir)));
    if (!place?.isMounted) await rm(platform.dataDir, { recursive: true, force: true });
    return judge(load.seen, {
      endOfFault,
      endOfLoad,
      recoverWithinMs,
      connections: fault.connections,
      lost,
      left,
    });
  } finally {
    await place?.cleanUp();
  }
}

function isMountOf(line: string, folder: string): boolean {
  return line.split(' ')[4] === folder;
}
