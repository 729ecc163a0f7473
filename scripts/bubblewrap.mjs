/** The one Debian package that the jail driver needs. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { say } from './say.mjs';

const INSTALL = 'apt-get install -y --no-install-recommends bubblewrap';

/** Installs `bwrap` as root when it is missing; otherwise says the command. @returns true when it is there */
export function ensureBubblewrap() {
  if (process.platform !== 'linux' || isOnPath('bwrap')) return true;
  if (process.getuid() !== 0 || !isOnPath('apt-get')) {
    say(
      `bubblewrap is missing, which the sandboxes need. Install it: ${process.getuid() === 0 ? '' : 'sudo '}${INSTALL}`,
    );
    return false;
  }
  say(`bubblewrap is missing; installing it with apt-get (${INSTALL}) …`);
  const update = apt(['update']);
  const install = apt(INSTALL.split(' ').slice(1));
  if (install.status === 0 && isOnPath('bwrap')) {
    say('bubblewrap is installed.');
    return true;
  }
  process.stderr.write(`${update.stderr ?? ''}${install.stderr ?? ''}`);
  say(`bubblewrap could not be installed. Try: apt-get update && ${INSTALL}`);
  return false;
}

/** False when flags, environment or configuration file choose another driver than the jail. */
export function mayUseJail(argv, env) {
  const driver =
    flag(argv, '--driver') ?? (env.BERTH_DRIVER || driverOfFile(flag(argv, '--config') ?? env.BERTH_CONFIG));
  return driver === undefined || driver === 'auto' || driver === 'jail';
}

function apt(args) {
  return spawnSync('apt-get', ['-qq', ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    timeout: 300_000,
  });
}

function flag(argv, name) {
  const index = argv.findIndex((argument) => argument === name || argument.startsWith(`${name}=`));
  if (index === -1) return undefined;
  return argv[index].includes('=') ? argv[index].slice(name.length + 1) : argv[index + 1];
}

function driverOfFile(file) {
  try {
    return file ? JSON.parse(readFileSync(file, 'utf8')).driver : undefined;
  } catch {
    return undefined; // the server says what is wrong with the file
  }
}

function isOnPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false; // not in this folder
    }
  });
}
