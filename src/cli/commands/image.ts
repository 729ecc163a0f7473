/** `berth image …`, `berth rollout`: what the sandboxes of the Docker driver are made of. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type LoadedConfig, loadConfig } from '../../config/load-config.ts';
import type { BuiltImage } from '../../images/image-builder.ts';
import { type Arguments, type Register, addCommand, addGroup } from '../command.ts';
import { UsageError, WorkError } from '../exit-code.ts';
import { collect } from '../option-values.ts';
import type { Session } from '../session.ts';

interface ConfigOption {
  readonly config?: string;
}
interface BuildOptions extends ConfigOption {
  readonly node?: readonly string[];
}

export const registerImages: Register = (parent, program) => {
  const group = addGroup(parent, 'image', 'what sandboxes of the Docker driver are made of', ['images']);
  addCommand<BuildOptions>(
    group,
    program,
    {
      usage: 'build',
      says: 'make the sandbox image of the pinned Node.js, on the Docker Engine of this host’s configuration',
      options: (command) =>
        command
          .option(
            '--node <major>',
            'another major version, or "all"; its npm package is installed (repeat)',
            collect,
          )
          .option('--config <file>', 'configuration file (BERTH_CONFIG)'),
      examples: ['berth image build', 'berth image build --node 22 --node 26 && berth rollout'],
    },
    build,
  );
  addCommand<ConfigOption>(
    group,
    program,
    {
      usage: 'ls',
      says: 'list sandbox images on the engine',
      aliases: ['list'],
      options: (command) => command.option('--config <file>', 'configuration file (BERTH_CONFIG)'),
    },
    list,
  );
  addCommand(
    parent,
    program,
    {
      usage: 'rollout',
      says: 'make all sandboxes anew, of the images that were built last; no request fails',
    },
    rollout,
  );
};

/** Only these commands need what builds images. @throws WorkError when the engine cannot be used */
async function withImages<T>(
  work: (images: typeof import('../../images/image-builder.ts')) => Promise<T>,
): Promise<T> {
  const images = await import('../../images/image-builder.ts');
  return work(images).catch((error: unknown) => {
    if (error instanceof RangeError)
      throw new WorkError(`${error.message}.`, 'Install the package that has it on this host.');
    if (!(error instanceof images.NoEngine)) throw error;
    throw new WorkError(error.message, 'The engine is the setting docker.host (BERTH_DOCKER_HOST).');
  });
}

async function build({ io, output }: Session, _args: Arguments, options: BuildOptions): Promise<void> {
  const { config } = configOf(io, options);
  const cacheDir = join(homedir(), '.cache', 'berth');
  const built: BuiltImage[] = [];
  for (const nodePath of await nodePathsOf(options.node ?? [], output)) {
    const work = withImages(({ buildImage }) => buildImage({ config, nodePath, cacheDir }));
    built.push(await output.during('Building the sandbox image', work));
  }
  const lines = built.map(({ tag, nodeVersion, isNew }) =>
    isNew ? `Node.js ${nodeVersion}: ${tag}` : `Node.js ${nodeVersion}: ${tag} was there already`,
  );
  output.result(built, [...lines, 'A running platform takes it in with: berth rollout'].join('\n'));
}

async function list({ io, output }: Session, _args: Arguments, options: ConfigOption): Promise<void> {
  const { config } = configOf(io, options);
  const images = await withImages(({ sandboxImages }) => sandboxImages(config));
  const rows = images.map(({ tags, nodeVersion, runtime, sizeBytes, isCurrent }) => [
    tags.find((tag) => !tag.includes(':node')) ?? tags[0] ?? '<none>',
    nodeVersion,
    runtime,
    `${Math.round(sizeBytes / 1_000_000)} MB`,
    isCurrent ? 'current' : '',
  ]);
  const none = 'There is no sandbox image. Make one: berth image build';
  output.result(images, output.table(['image', 'node', 'runtime', 'size', ''], rows, none));
}

async function rollout({ client, output, io }: Session): Promise<void> {
  const answer = await output.during('Rolling out', client.rollout(io.signal));
  output.result(answer, `New sandboxes run Node.js ${answer.nodeVersions.join(', ')}; the old ones drain.`);
}

function configOf(io: Session['io'], { config }: ConfigOption): LoadedConfig {
  return loadConfig({
    argv: config === undefined ? [] : [`--config=${config}`],
    env: io.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    cwd: io.cwd,
  });
}

/** @param wanted major versions; none: the platform's own */
async function nodePathsOf(wanted: readonly string[], output: Session['output']): Promise<readonly string[]> {
  if (wanted.length === 0) return [process.execPath];
  const own = Number.parseInt(process.versions.node, 10);
  const packages = await withImages(async (images) => images.nodePackages());
  const all = [own, ...packages.map(({ major }) => major)];
  const names = wanted.includes('all') ? all.map(String) : new Set(wanted);
  const paths: string[] = [];
  for (const name of names) {
    const major = Number(name);
    const found = packages.find((one) => one.major === major);
    if (major !== own && found === undefined)
      throw new UsageError(`There is no package of Node.js ${name}.`, `Choose of ${all.join(', ')}.`);
    if (found === undefined) paths.push(process.execPath);
    else {
      if (!found.isInstalled) await output.during(`Installing Node.js ${major}`, npmCi(found.folder));
      paths.push(found.nodePath);
    }
  }
  return paths;
}

/** What the lock file says, checked against its hashes. */
async function npmCi(folder: string): Promise<void> {
  const options = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const child = spawn('npm', options, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0)
    throw new WorkError('npm could not install that Node.js.', `Run it by hand: npm ci --prefix ${folder}`);
}
