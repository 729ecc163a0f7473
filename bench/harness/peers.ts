/** The peers, installed on demand into `bench/peers` from the pinned list in `bench/peer-packages`. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../test/support/platform.ts';

const MANIFEST = join(projectRoot, 'bench/peer-packages');
const PEERS = join(projectRoot, 'bench/peers');
const LOCK = 'package-lock.json';
const INSTALL_MS = 300_000;
const architectures: Partial<Record<string, string>> = { x64: '64', arm64: 'arm64' };

/** Installs what is missing and says so. Repeatable. */
export function ensurePeers(say: (text: string) => void): void {
  const installed = join(PEERS, 'node_modules/.package-lock.json');
  const isCurrent =
    existsSync(installed) &&
    readFileSync(join(PEERS, LOCK), 'utf8') === readFileSync(join(MANIFEST, LOCK), 'utf8');
  if (isCurrent) return;
  say('installing the peers into bench/peers with npm');
  rmSync(PEERS, { recursive: true, force: true });
  mkdirSync(PEERS, { recursive: true });
  for (const file of ['package.json', LOCK]) cpSync(join(MANIFEST, file), join(PEERS, file));
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: PEERS,
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: INSTALL_MS,
  });
}

export function peerFolder(name: string): string {
  return join(PEERS, 'node_modules', name);
}

export function workerdBinary(): string {
  return join(peerFolder(`@cloudflare/workerd-linux-${architectures[process.arch]}`), 'bin/workerd');
}

/** Versions of the peers as they are installed. */
export function peerVersions(): Record<string, string> {
  const names = [
    `@cloudflare/workerd-linux-${architectures[process.arch]}`,
    '@google-cloud/functions-framework',
    'undici',
  ];
  return Object.fromEntries(
    names.map((name) => {
      const file = join(peerFolder(name), 'package.json');
      return [name, (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version];
    }),
  );
}
