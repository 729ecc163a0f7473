/** `berth doctor` */
import { readFileSync } from 'node:fs';
import { loadConfig } from '../../config/load-config.ts';
import { type Register, addCommand } from '../command.ts';
import { examine } from '../doctor/doctor.ts';
import { type Finding, type Level, worstOf } from '../doctor/finding.ts';
import { realHost } from '../doctor/real-host.ts';
import { ExitCode } from '../exit-code.ts';
import type { Output, Style } from '../output.ts';
import type { Session } from '../session.ts';

const styles: Readonly<Record<Level, Style>> = { ok: 'green', warn: 'yellow', fail: 'red' };
const exitCodes: Readonly<Record<Level, number>> = {
  ok: ExitCode.ok,
  warn: ExitCode.warning,
  fail: ExitCode.failure,
};

export const registerDoctor: Register = (parent, program) => {
  addCommand<{ readonly config?: string }>(
    parent,
    program,
    {
      usage: 'doctor',
      says: 'check whether this host can run a platform safely, and say what to change; none need be running',
      options: (command) => command.option('--config <file>', 'configuration file (BERTH_CONFIG)'),
    },
    doctor,
  );
};

async function doctor(
  { io, output }: Session,
  _args: unknown,
  options: { readonly config?: string },
): Promise<number> {
  const { config } = loadConfig({
    argv: options.config === undefined ? [] : [`--config=${options.config}`],
    env: io.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    cwd: io.cwd,
  });
  const findings = examine(realHost(config.dataDir));
  const worst = worstOf(findings);
  output.result({ worst, findings }, findings.map((finding) => lineOf(output, finding)).join('\n'));
  return exitCodes[worst];
}

function lineOf(output: Output, { check, level, found, wayOut }: Finding): string {
  const head = `${output.style(styles[level], level.padEnd(4))}  ${check.padEnd(15)}  ${found}`;
  return wayOut === null ? head : `${head}\n${' '.repeat(23)}${wayOut}`;
}
