/**
 * `npm run fuzz -- [--seconds N] [--seed N] [target]`: the fuzz targets of test/fuzz for longer than the suite does, 60 s
 * each unless said. An input that breaks a promise is printed as small as it can be made, with its seed: mend the cause, and
 * add the input to test/fuzz/corpus.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const TARGETS = ['frames', 'http', 'tokens'];
const vitest = new URL('../node_modules/vitest/vitest.mjs', import.meta.url).pathname;

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const seconds = Number(values.seconds);
const unknown = positionals.filter((name) => !TARGETS.includes(name));
if (!(seconds > 0) || unknown.length > 0 || positionals.length > 1) {
  console.error(`usage: npm run fuzz -- [--seconds N] [--seed N] [${TARGETS.join(' | ')}]`);
  process.exitCode = 64;
} else {
  const [target] = positionals;
  const argv = [
    'run',
    '--project',
    'unit',
    'test/fuzz',
    ...(target === undefined ? [] : ['-t', `${target}:`]),
  ];
  const env = {
    ...process.env,
    BERTH_FUZZ_SECONDS: String(seconds),
    ...(values.seed === undefined ? {} : { BERTH_FUZZ_SEED: values.seed }),
  };
  const child = spawn(process.execPath, [vitest, ...argv], { stdio: 'inherit', env });
  child.once('exit', (code) => (process.exitCode = code ?? 1));
}
