/** A gigabyte up and a gigabyte down through a function, against bare `node:http`; and what memory the platform takes for it. */
import { addTenant, portOf, serverSource, startBerth } from '../harness/berth.ts';
import { callAll } from '../harness/calls.ts';
import { residentMb } from '../harness/memory.ts';
import { type BenchContext, check, type Outcome } from '../harness/outcome.ts';
import { alternate, of } from '../harness/rounds.ts';
import { ratios } from '../harness/statistics.ts';
import { download, upload } from '../harness/transfer.ts';
import { startBare } from './warm-sides.ts';

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
  const ratio = (way: string): number[] =>
    ratios(of(measured, `berth, ${way}`), of(measured, `node:http, ${way}`));
  const half = { bound: 'at least', target: 0.5, unit: '×' } as const;
  return {
    rows: [...measured].map(([label, values]) => ({ label, unit: 'MB/s', rounds: values })),
    checks: [
      check('1 GB down, berth / node:http', ratio('down'), half),
      check('1 GB up, berth / node:http', ratio('up'), half),
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
