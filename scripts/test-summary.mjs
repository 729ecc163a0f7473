/**
 * The last line of .ci/run: `N passed, N failed`. A skipped test and a failed step count as failed.
 * Usage: node scripts/test-summary.mjs <vitest's JSON reports, separated by commas> [failed step…]
 */
import { readFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

const MESSAGE_LINES = 20;
const LINE_CHARACTERS = 300;
const [files, ...failedSteps] = process.argv.slice(2);
const testResults = files.split(',').flatMap((file) => read(file).testResults);
const assertions = testResults.flatMap((module) => module.assertionResults ?? []);
const brokenModules = testResults.filter(
  (module) =>
    module.status === 'failed' && !(module.assertionResults ?? []).some(({ status }) => status === 'failed'),
);
const of = (...statuses) => assertions.filter(({ status }) => statuses.includes(status));
const skipped = of('skipped', 'pending', 'todo', 'disabled');
// With its message: whoever reads a run's end should not have to look for it in a thousand lines.
for (const { fullName, failureMessages } of of('failed'))
  console.log([`failed: ${fullName}`, ...beginning(failureMessages)].join('\n    '));
for (const { fullName } of skipped) console.log(`skipped, which counts as failed here: ${fullName}`);
for (const { name, message } of brokenModules)
  console.log(`failed to run: ${name}: ${String(message).split('\n')[0]}`);
for (const step of failedSteps) console.log(`failed step: ${step}`);
const found = of('failed').length + skipped.length + brokenModules.length;
// "tests" failed without a failed test: an error outside of tests, or no report at all.
const others = failedSteps.filter((step) => !step.startsWith('tests') || found === 0).length;
const passed = of('passed').length;
const isEmpty = passed + found + others === 0;
if (isEmpty) console.log('no test ran, which counts as failed here');
const failed = found + others + (isEmpty ? 1 : 0);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function beginning(messages = []) {
  const text = stripVTControlCharacters(messages.join('\n'));
  return text.split('\n', MESSAGE_LINES).map((line) => line.slice(0, LINE_CHARACTERS));
}

function read(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    console.log(`no test report: ${error.message}`);
    return { testResults: [] };
  }
}
