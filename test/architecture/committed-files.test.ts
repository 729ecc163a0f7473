/** What must not be in the repository: paths of the machine it was written on, hosts of registries, secrets. */
import { expect, it } from 'vitest';
import { committedFiles, read } from './source-files.ts';

const BINARY = /\.(?:png|jpe?g|ico|gz|wasm|woff2?)$/;
/** Put together, so that this file does not hold what it looks for. */
const MACHINE_PATHS = new RegExp(
  `(?<![\\w.~-])/(?:${['work', 'root', 'home/\\w+'].join('|')})(?:/[\\w.-]+)+`,
  'g',
);
const REGISTRIES = new RegExp(
  [
    `registry\\.${'npmjs'}\\.org`,
    `registry\\.${'yarnpkg'}\\.com`,
    `artifact${'ory'}`,
    `\\b(?:npm|registry|mirror)\\.[\\w-]+\\.(?:internal|local)\\b`,
  ].join('|'),
  'gi',
);
const PRIVATE_KEYS = new RegExp(`-----BEGIN [A-Z ]*${'PRIVATE'} KEY-----`, 'g');

const files = committedFiles()
  .filter((path) => !BINARY.test(path))
  .flatMap((path) => {
    try {
      return [{ path, text: read(path) }];
    } catch {
      return []; // deleted in the working folder, not yet in git
    }
  });

function found(pattern: RegExp, say: (path: string, match: string) => string): string[] {
  return files.flatMap(({ path, text }) => [...text.matchAll(pattern)].map(([match]) => say(path, match)));
}

it('no file holds a path of the machine it was written on', () => {
  // Tests of the sandbox may well ask for the home of root: it must not be there.
  const problems = found(MACHINE_PATHS, (path, match) => `${path} holds the machine path ${match}.`).filter(
    (problem) => !problem.startsWith('test/security/'),
  );
  expect(problems).toEqual([]);
});

it('no file names the host of a package registry', () => {
  expect(found(REGISTRIES, (path, match) => `${path} names the registry ${match}.`)).toEqual([]);
});

it('package-lock.json has no addresses: npm takes packages from the registry of whoever installs', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { resolved?: string; integrity?: string; version?: string }>;
  };
  const problems = Object.entries(packages).flatMap(([path, { resolved }]) =>
    resolved === undefined ? [] : [`package-lock.json resolves ${path} to ${resolved}.`],
  );
  expect(problems).toEqual([]);
});

it('package-lock.json knows every optional package that another names, or npm ci refuses it', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  const problems = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter(
        (name) =>
          packages[`node_modules/${name}`] === undefined &&
          packages[`${path}/node_modules/${name}`] === undefined,
      )
      .map((name) => `package-lock.json lacks ${name}, an optional dependency of ${path || 'the project'}.`),
  );
  expect(problems).toEqual([]);
});

it('no file holds a private key', () => {
  expect(found(PRIVATE_KEYS, (path) => `${path} holds a private key.`)).toEqual([]);
});

it('dependencies are pinned to one version each', () => {
  const project = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const problems = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((group) =>
    Object.entries(project[group] ?? {})
      .filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))
      .map(([name, version]) => `${name} is ${version} in ${group} of package.json; pin one version.`),
  );
  expect(problems).toEqual([]);
});
