/**
 * Soak: many requests over many functions of many tenants; no request may fail, and the platform's memory stays flat.
 *   node bench/soak.ts [requests=200000] [connections=64]
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { TestPlatform } from '../test/support/platform.ts';

const TENANTS = 10;
const FUNCTIONS_PER_TENANT = 5;
const REPORTS = 10;
const total = Number(process.argv[2] ?? 200_000);
const connections = Number(process.argv[3] ?? 64);

const platform = await TestPlatform.start();
const agent = new Agent({ connections, pipelining: 1 });
const sources = [
  'module.exports = (ctx, cb) => cb(null, { n: ctx.query.n });',
  'module.exports = (req, res) => res.end(JSON.stringify({ n: req.url.slice(req.url.indexOf("n=") + 2) }));',
  'export default { fetch: (request) => Response.json({ n: new URL(request.url).searchParams.get("n") }) };',
  'exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify({ n: event.queryStringParameters.n }) });',
  'module.exports = async (ctx) => ({ n: ctx.query.n });',
];
for (let tenant = 0; tenant < TENANTS; tenant++) {
  await platform.createTenant(`t${tenant}`);
  for (let fn = 0; fn < FUNCTIONS_PER_TENANT; fn++)
    await platform.deploy(`t${tenant}`, `f${fn}`, sources[fn]!);
}

const residentMb = (): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${platform.pid}/status`, 'utf8'))![1]) / 1024);
let sent = 0;
let failed = 0;
const failures = new Map<string, number>();
const started = performance.now();
console.log('requests   seconds   failed   platform memory (MB): resident   heap   buffers');

async function worker(): Promise<void> {
  while (sent < total) {
    const number = sent++;
    if (number % Math.ceil(total / REPORTS) === 0) void report(number);
    const problem = await once(number);
    if (problem === null) continue;
    failed++;
    failures.set(problem, (failures.get(problem) ?? 0) + 1);
  }
}

async function once(number: number): Promise<string | null> {
  try {
    const url = `${platform.url}/run/t${number % TENANTS}/f${Math.floor(number / TENANTS) % FUNCTIONS_PER_TENANT}?n=${number}`;
    const response = await request(url, { dispatcher: agent });
    const text = await response.body.text();
    return response.statusCode === 200 && (JSON.parse(text) as { n: string }).n === String(number)
      ? null
      : `${response.statusCode} ${text.slice(0, 200)}`;
  } catch (error) {
    return String(error);
  }
}

async function report(count: number): Promise<void> {
  const mb = async (metric: string): Promise<number> => Math.round((await platform.metric(metric)) / 2 ** 20);
  const memory = [
    residentMb(),
    await mb('nodejs_heap_size_used_bytes'),
    await mb('nodejs_external_memory_bytes'),
  ];
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${String(count).padStart(8)}   ${seconds.toFixed(1).padStart(7)}   ${String(failed).padStart(6)}   ${memory.join('   ')}`,
  );
}

await Promise.all(Array.from({ length: connections }, worker));
await report(total);
for (const [problem, count] of failures) console.log(`${count} x ${problem}`);
await agent.close();
await platform.stop();
process.exitCode = failed === 0 ? 0 : 1;
