/** What an idle sandbox costs in memory, and whether 1,000 of them live on this machine and answer. */
import { setTimeout as delay } from 'node:timers/promises';
import { addTenant, deployMany, helloSource, startBerth } from '../harness/berth.ts';
import { callAll } from '../harness/calls.ts';
import { availableMb, privateMemory, residentMb, type PrivateMemory } from '../harness/memory.ts';
import type { BenchContext, Outcome } from '../harness/outcome.ts';
import { median } from '../harness/statistics.ts';

const TENANTS = 20;
const FUNCTIONS_PER_TENANT = 50;
const SANDBOXES = TENANTS * FUNCTIONS_PER_TENANT;
const SETTINGS = { BERTH_MAX_SANDBOXES: '1100' };
/** What runs after a call (collection, log flush) is over then. */
const REST_MS = 5_000;

export const says = 'memory of an idle sandbox; 1,000 of them at the same time, all answering';

export async function measure({ scope, say }: BenchContext): Promise<Outcome> {
  const availableBefore = availableMb();
  const platform = await startBerth(scope, SETTINGS);
  say(`starting ${SANDBOXES} sandboxes`);
  const paths: string[] = [];
  for (let number = 0; number < TENANTS; number++) {
    const tenant = `t${number}`;
    await addTenant(platform, tenant);
    const own = await deployMany(platform, { tenant, count: FUNCTIONS_PER_TENANT, source: helloSource });
    await callAll(platform.url, own);
    paths.push(...own);
  }
  await delay(REST_MS);
  say('reading their memory');
  const sandboxes = [...platform.sandboxes().values()].map(privateMemory);
  const machineMb = (availableBefore - availableMb()) / sandboxes.length;
  say('calling each of them again');
  await callAll(platform.url, paths);
  const live = platform.sandboxes().size;
  return { rows: rowsOf(sandboxes, machineMb, residentMb(platform.pid)), checks: checksOf(sandboxes, live) };
}

function rowsOf(sandboxes: readonly PrivateMemory[], machineMb: number, platformMb: number): Outcome['rows'] {
  return [
    { label: 'Private_Dirty of a sandbox', unit: 'MB', rounds: sandboxes.map((each) => each.privateDirtyMb) },
    { label: 'PSS of a sandbox', unit: 'MB', rounds: sandboxes.map((each) => each.pssMb) },
    { label: 'memory of the machine for each sandbox', unit: 'MB', rounds: [machineMb] },
    { label: 'resident memory of the platform', unit: 'MB', rounds: [platformMb] },
  ];
}

function checksOf(sandboxes: readonly PrivateMemory[], live: number): Outcome['checks'] {
  const dirty = median(sandboxes.map((each) => each.privateDirtyMb));
  const pss = median(sandboxes.map((each) => each.pssMb));
  return [
    { says: 'Private_Dirty of an idle sandbox', value: dirty, bound: 'at most', target: 12, unit: 'MB' },
    { says: 'PSS of an idle sandbox', value: pss, bound: 'at most', target: 12, unit: 'MB' },
    { says: 'sandboxes alive, all answering', value: live, bound: 'at least', target: SANDBOXES, unit: '' },
  ];
}
