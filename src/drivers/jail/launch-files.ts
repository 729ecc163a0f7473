/** What every start of a sandbox reads: the scripts' texts, bubblewrap's arguments and the seccomp filter, by content. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeProgram } from '../seccomp/bpf.ts';
import { seccompPolicy } from '../seccomp/policy.ts';
import { type Architecture, compilePolicy } from '../seccomp/seccomp-compiler.ts';
import { bwrapArguments, encodeArguments } from './bwrap-arguments.ts';
import { makeOnce, writeInto } from './root-image.ts';

export interface LaunchFiles {
  readonly gateScript: string;
  readonly enterScript: string;
  /** Relative to the root directory. */
  readonly launchDir: string;
}

export async function prepareLaunchFiles(options: {
  readonly rootDir: string;
  readonly architecture: Architecture;
  readonly hasCertificates: boolean;
}): Promise<LaunchFiles> {
  const { hasCertificates, rootDir } = options;
  const contents: Readonly<Record<string, Buffer>> = {
    arguments: Buffer.from(encodeArguments(bwrapArguments({ hasCertificates, exists: existsSync }))),
    seccomp: encodeProgram(compilePolicy(seccompPolicy, options.architecture)),
  };
  const hash = createHash('sha256');
  for (const content of Object.values(contents)) hash.update(content);
  const launchDir = `launch-${hash.digest('hex').slice(0, 16)}`;
  await makeOnce(rootDir, launchDir, (at) => {
    for (const [name, content] of Object.entries(contents)) writeInto(join(at, name), content);
  });
  return {
    gateScript: readFileSync(join(import.meta.dirname, 'gate.sh'), 'utf8'),
    enterScript: readFileSync(join(import.meta.dirname, 'enter.sh'), 'utf8'),
    launchDir,
  };
}
