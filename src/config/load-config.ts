/** Puts the settings together: flags win over environment over file over defaults. All problems are told at once. */
import { dirname, resolve } from 'node:path';
import { ConfigError, type ConfigProblem } from './config-error.ts';
import {
  type RawValue,
  type Source,
  readConfigFile,
  readEnvironment,
  readFlags,
  unknownVariables,
} from './sources.ts';
import { type Config, type Setting, type SettingName, settingNames, settings } from './settings.ts';

export interface ConfigInput {
  /** Command-line arguments of the server, without node and script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a text file; throws when it cannot. */
  readonly readFile: (path: string) => string;
  /** Absolute. */
  readonly cwd: string;
}

export type OriginKind = 'flag' | 'environment' | 'file' | 'default';

export interface Origin {
  readonly kind: OriginKind;
  /** `--port`, `PORT`, `/etc/berth.json: port`, `default` */
  readonly where: string;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly origins: ReadonlyMap<SettingName, Origin>;
  /** Absolute path of the file that was read, if any. */
  readonly file: string | null;
  /** For the operator to see at start. */
  readonly warnings: readonly string[];
}

/** @throws ConfigError with every problem at once, each with its way out */
export function loadConfig({ argv, env, readFile, cwd }: ConfigInput): LoadedConfig {
  const flags = readFlags(argv);
  const file = pathOrNull(cwd, flags.file ?? env['BERTH_CONFIG']);
  const sources: readonly (readonly [OriginKind, string, Source])[] = [
    ['flag', cwd, flags],
    ['environment', cwd, readEnvironment(env)],
    ['file', dirname(file ?? cwd), file === null ? emptySource : readFileSource(file, readFile)],
  ];
  const problems = sources.flatMap(([, , source]) => source.problems);
  const values = new Map<SettingName, unknown>();
  const origins = new Map<SettingName, Origin>();
  for (const name of settingNames) {
    const found = sources.find(([, , source]) => source.values.has(name));
    const raw = found?.[2].values.get(name);
    origins.set(name, { kind: found?.[0] ?? 'default', where: raw?.where ?? 'default' });
    values.set(name, valueOf({ name, raw, base: found?.[1] ?? cwd, problems }));
  }
  problems.push(...contradictions(values));
  if (problems.length > 0) throw new ConfigError(problems);
  return { config: nest(values), origins, file, warnings: unknownVariables(env) };
}

const emptySource: Source = { values: new Map(), problems: [] };

function pathOrNull(cwd: string, path: string | undefined): string | null {
  return path === undefined || path === '' ? null : resolve(cwd, path);
}

function readFileSource(file: string, readFile: (path: string) => string): Source {
  try {
    return readConfigFile(file, readFile(file));
  } catch (error) {
    const what = `the file cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`;
    const wayOut = 'Correct BERTH_CONFIG or --config, or the rights of the file.';
    return { ...emptySource, problems: [{ where: file, what, wayOut }] };
  }
}

interface Wanted {
  readonly name: SettingName;
  readonly raw: RawValue | undefined;
  /** What a relative path counts from. */
  readonly base: string;
  readonly problems: ConfigProblem[];
}

function valueOf({ name, raw, base, problems }: Wanted): unknown {
  const setting: Setting<unknown> = settings[name] as Setting<unknown>;
  const parsed =
    raw === undefined
      ? { success: true as const, data: setting.default }
      : setting.kind.schema.safeParse(raw.value);
  if (parsed.success)
    return setting.isPath === true && typeof parsed.data === 'string'
      ? resolve(base, parsed.data)
      : parsed.data;
  const what = parsed.error.issues[0]?.message ?? 'is not valid';
  problems.push({ where: raw!.where, what, wayOut: `${name} is ${setting.says}.` });
  return setting.default;
}

/** Values that are fine alone and not together. */
function contradictions(values: ReadonlyMap<SettingName, unknown>): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (values.get('masterKey') !== null && values.get('masterKeyFile') !== null)
    problems.push({
      where: 'masterKey, masterKeyFile',
      what: 'both are set',
      wayOut: 'Set one of them.',
    });
  if (Number(values.get('pool.minBlank')) > Number(values.get('pool.maxBlank')))
    problems.push({
      where: 'pool.minBlank, pool.maxBlank',
      what: 'minBlank is larger than maxBlank',
      wayOut: 'Raise pool.maxBlank or lower pool.minBlank.',
    });
  if (Number(values.get('pool.maxBlank')) > Number(values.get('maxSandboxes')))
    problems.push({
      where: 'pool.maxBlank, maxSandboxes',
      what: 'maxBlank is larger than maxSandboxes',
      wayOut: 'Raise maxSandboxes or lower pool.maxBlank.',
    });
  return problems;
}

function nest(values: ReadonlyMap<SettingName, unknown>): Config {
  const config: Record<string, unknown> = {};
  const groups = new Map<string, Record<string, unknown>>();
  for (const [name, value] of values) {
    const frozen = Array.isArray(value) ? Object.freeze([...(value as unknown[])]) : value;
    const [first, rest] = name.split('.') as [string, string | undefined];
    if (rest === undefined) config[first] = frozen;
    else groups.set(first, { ...groups.get(first), [rest]: frozen });
  }
  for (const [name, group] of groups) config[name] = Object.freeze(group);
  // The table decides both the names here and the type: load-config.test.ts holds them together.
  return Object.freeze(config) as unknown as Config;
}
