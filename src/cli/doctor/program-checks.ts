/** Programs that the platform needs, and what this user has left of the machine. */
import { type Check, fail, isAtLeast, ok, warn } from './finding.ts';

const LEAST_NODE = '24.0';
/** `--disable-userns` */
const LEAST_BUBBLEWRAP = '0.8.0';
const TOOLS = ['prlimit', 'setpriv', 'unshare', 'nsenter', 'mount'] as const;
const MiB = 1024 * 1024;
const LEAST_DISK_BYTES = 256 * MiB;
const GOOD_DISK_BYTES = 2_048 * MiB;
/** A sandbox costs the platform about eight, a connection one. */
const LEAST_OPEN_FILES = 1_024;
const GOOD_OPEN_FILES = 8_192;

const node: Check = {
  name: 'Node.js',
  look: ({ nodeVersion }) =>
    isAtLeast(nodeVersion.replace(/^v/, ''), LEAST_NODE)
      ? ok(nodeVersion)
      : fail(nodeVersion, 'npm ci --include=optional installs the pinned Node.js 24'),
};

const bubblewrap: Check = {
  name: 'bubblewrap',
  look(host) {
    const version = /\d+(?:\.\d+)+/.exec(host.run('bwrap', '--version') ?? '')?.[0];
    if (version === undefined) return fail('not there', 'apt-get install bubblewrap');
    return isAtLeast(version, LEAST_BUBBLEWRAP)
      ? ok(version)
      : fail(version, `install ${LEAST_BUBBLEWRAP} or newer (Debian 12 has it)`);
  },
};

const tools: Check = {
  name: 'tools',
  look(host) {
    const missing = TOOLS.filter((name) => host.run(name, '--version') === null);
    return missing.length === 0
      ? ok(TOOLS.join(', '))
      : fail(`without ${missing.join(', ')}`, 'apt-get install util-linux mount');
  },
};

const disk: Check = {
  name: 'disk',
  look(host) {
    const bytes = host.freeBytes(host.dataDir);
    if (bytes === null)
      return warn(`${host.dataDir}: unknown`, 'make the data folder, or set BERTH_DATA_DIR');
    const found = `${Math.floor(bytes / MiB)} MiB free at ${host.dataDir}`;
    const wayOut = 'free some space, or set BERTH_DATA_DIR to a larger disk';
    if (bytes < LEAST_DISK_BYTES) return fail(found, wayOut);
    return bytes < GOOD_DISK_BYTES ? warn(found, wayOut) : ok(found);
  },
};

/** Node raises its soft limit to the hard one by itself. */
const openFiles: Check = {
  name: 'open files',
  look(host) {
    const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(host.read('/proc/self/limits') ?? '')?.[1] ?? '';
    const limit = hard === 'unlimited' ? Infinity : Number(hard);
    const wayOut = `ulimit -Hn ${GOOD_OPEN_FILES} or more (systemd: LimitNOFILE)`;
    if (Number.isNaN(limit) || limit < LEAST_OPEN_FILES) return fail(`limit ${hard}`, wayOut);
    return limit < GOOD_OPEN_FILES ? warn(`limit ${hard}`, wayOut) : ok(`limit ${hard}`);
  },
};

export const programChecks: readonly Check[] = [node, bubblewrap, tools, disk, openFiles];
