/**
 * A gigabyte up and a gigabyte down through a function, against bare `node:http` and against a plain proxy to a process of
 * its own; and what memory the platform takes for it.
 */
import { addTenant, portOf, serverSource, startBerth } from '../harness/berth.ts';
import { callAll } from '../harness/calls.ts';
import { residentMb } from '../harness/memory.ts';
import { type BenchContext, type Check, check, type Outcome } from '../harness/outcome.ts';
import { alternate, of } from '../harness/rounds.ts';
import { ratios } from '../harness/statistics.ts';
import { download, upload } from '../harness/transfer.ts';
import { startBare, startProxy } from './warm-sides.ts';

const BYTES = 1e9;
const MB = 1e6;
const LOOK_MS = 20;

export const says = '1 GB up and down through a function against bare node:http, and memory taken for it';

export async function measure({ scope, rounds, say }: BenchContext): Promise<Outcome> {
  const platform = await startBerth(scope);
  await addTenant(platform, 'bench');
  await platform.deploy('bench', 'stream', serverSource('stream.cjs'));
  const places = {
    berth: { port: portOf(platform), path: '/run/bench/stream' },
    'node:http': { port: await startBare(scope, 'stream.cjs'), path: '/' },
    'undici proxy': { port: await startProxy(scope, 'stream.cjs'), path: '/' },
  };
  const sides = Object.entries(places).flatMap(([name, place]) => [
    { name: `${name}, down`, measure: () => rate(() => download({ ...place, bytes: BYTES })) },
    { name: `${name}, up`, measure: () => rate(() => upload({ ...place, bytes: BYTES })) },
  ]);
  await callAll(platform.url, ['/run/bench/stream']);
  const before = residentMb(platform.pid);
  const memory = watch(() => residentMb(platform.pid));
  say('warming up');
  for (const side of sides) await side.measure();
  const measured = await alternate(sides, rounds, say);
  const growth = memory.stop() - before;
  const against = (peer: string, way: string, target: number): Check =>
    check(
      `1 GB ${way}, berth / ${peer}`,
      ratios(of(measured, `berth, ${way}`), of(measured, `${peer}, ${way}`)),
      { bound: 'at least', target, unit: '×' },
    );
  return {
    rows: [...measured].map(([label, values]) => ({ label, unit: 'MB/s', rounds: values })),
    checks: [
      against('node:http', 'down', 0.5),
      against('node:http', 'up', 0.5),
      against('undici proxy', 'down', 1),
      against('undici proxy', 'up', 1),
      { says: 'growth of the platform', value: growth, bound: 'at most', target: 50, unit: 'MB' },
    ],
  };
}

/** Megabytes a second. */
async function rate(transfer: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await transfer();
  return BYTES / MB / ((performance.now() - started) / 1_000);
}

/** Remembers the highest value of what it looks at, again and again until `stop`. */
function watch(read: () => number): { stop(): number } {
  let highest = read();
  const timer = setInterval(() => (highest = Math.max(highest, read())), LOOK_MS);
  return {
    stop() {
      clearInterval(timer);
      return highest;
    },
  };
}
