/** A vitest reporter that says at the end which tests did not run, and why. */
export default class SkipReporter {
  onTestRunEnd(testModules) {
    const skipped = [];
    for (const testModule of testModules)
      for (const test of testModule.children.allTests('skipped')) {
        // Tests that a failed hook or a filter (-t) kept from running say so elsewhere.
        if (test.options.mode === 'run' && test.result().note === undefined) continue;
        skipped.push(
          `  ${testModule.relativeModuleId}: ${test.fullName}: ${test.result().note ?? 'its file has said why, or -t left it out'}`,
        );
      }
    if (skipped.length > 0) process.stdout.write(`\nSkipped (${skipped.length}):\n${skipped.join('\n')}\n`);
  }
}
