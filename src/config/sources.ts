/** Where settings come from: flags, environment and file, each to raw values by the setting's name. */
import type { ConfigProblem } from './config-error.ts';
import { nearestName } from './nearest-name.ts';
import { type SettingName, envOf, flagOf, settingNames, settings } from './settings.ts';

export interface RawValue {
  /** As the operator would name it: `--port`, `PORT`, `berth.json: port`. */
  readonly where: string;
  readonly value: unknown;
}

export interface Source {
  readonly values: ReadonlyMap<SettingName, RawValue>;
  readonly problems: readonly ConfigProblem[];
}

const byFlag = new Map(settingNames.map((name) => [flagOf(name), name]));
const CONFIG_FLAG = '--config';

/** @returns also `file`, the value of `--config`, which is not a setting */
export function readFlags(argv: readonly string[]): Source & { readonly file: string | null } {
  const values = new Map<SettingName, RawValue>();
  const problems: ConfigProblem[] = [];
  let file: string | null = null;
  for (let index = 0; index < argv.length; index++) {
    const [flag, inline] = splitFlag(argv[index]!);
    const name = byFlag.get(flag);
    if (name === undefined && flag !== CONFIG_FLAG) {
      problems.push(unknownFlag(flag));
      continue;
    }
    const next = argv[index + 1];
    const isSwitch = name !== undefined && settings[name].kind.isSwitch;
    const text =
      inline ?? (next !== undefined && !next.startsWith('--') && !isSwitch ? argv[++index]! : null);
    if (name === undefined && text !== null) file = text;
    else if (name !== undefined && (text !== null || isSwitch))
      values.set(name, { where: flag, value: fromText(name, text ?? 'true') });
    else problems.push({ where: flag, what: 'the value is missing', wayOut: `Write ${flag}=<value>.` });
  }
  return { values, problems, file };
}

export function readEnvironment(env: Readonly<Record<string, string | undefined>>): Source {
  const values = new Map<SettingName, RawValue>();
  for (const name of settingNames) {
    const text = env[envOf(name)];
    // An empty variable is how many tools say "not set".
    if (text !== undefined && text !== '')
      values.set(name, { where: envOf(name), value: fromText(name, text) });
  }
  return { values, problems: [] };
}

/** `text` is JSON with the names of the settings nested: `{ "pool": { "minBlank": 8 } }`. */
export function readConfigFile(file: string, text: string): Source {
  const values = new Map<SettingName, RawValue>();
  const problems: ConfigProblem[] = [];
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    const what = `is not JSON (${(error as Error).message})`;
    return { values, problems: [{ where: file, what, wayOut: 'Correct the file, or check BERTH_CONFIG.' }] };
  }
  if (!isGroup(content)) {
    const what = 'must hold one JSON object';
    return { values, problems: [{ where: file, what, wayOut: 'Write { "port": 8787 }, for instance.' }] };
  }
  for (const [name, value] of flatten(content, '')) {
    if (isSettingName(name)) values.set(name, { where: `${file}: ${name}`, value });
    else problems.push(unknownKey(file, name));
  }
  return { values, problems };
}

/** Names in the environment that look like ours and are none: often a typing mistake, so worth a warning. */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set(['BERTH_CONFIG', ...settingNames.map(envOf)]);
  const others =
    /^BERTH_(?:URL|TOKEN|TENANT|PROFILE|REQUIRE_\w+|TEST_\w+|BENCH_\w+|SERVICE_\w+|PORT(?:_\w+)?)$/;
  return Object.keys(env)
    .filter((name) => name.startsWith('BERTH_') && !known.has(name) && !others.test(name))
    .map((name) => `${name} is not a setting of Berth.${didYouMean(name, [...known])}`);
}

function splitFlag(argument: string): [flag: string, value: string | null] {
  const equals = argument.indexOf('=');
  return equals === -1 ? [argument, null] : [argument.slice(0, equals), argument.slice(equals + 1)];
}

function fromText(name: SettingName, text: string): unknown {
  return settings[name].kind.fromText(text);
}

function* flatten(group: Record<string, unknown>, prefix: string): Generator<[name: string, value: unknown]> {
  for (const [key, value] of Object.entries(group)) {
    const name = prefix + key;
    if (prefix === '' && isGroup(value) && !isSettingName(name)) yield* flatten(value, `${name}.`);
    else yield [name, value];
  }
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}

function unknownFlag(flag: string): ConfigProblem {
  const wayOut = `See "npm start -- --help".${didYouMean(flag, [...byFlag.keys(), CONFIG_FLAG])}`;
  return { where: flag.slice(0, 100), what: 'there is no such flag', wayOut };
}

function unknownKey(file: string, name: string): ConfigProblem {
  const wayOut = `Remove it; docs/configuration.md lists all settings.${didYouMean(name, settingNames)}`;
  return { where: `${file}: ${name.slice(0, 100)}`, what: 'there is no such setting', wayOut };
}

function didYouMean(name: string, candidates: readonly string[]): string {
  const near = nearestName(name, candidates);
  return near === null ? '' : ` Did you mean ${near}?`;
}
