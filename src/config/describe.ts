/** The settings in words: docs/configuration.md, `npm start -- --help`, and what `berth config` prints. */
import type { LoadedConfig, OriginKind } from './load-config.ts';
import {
  type Config,
  type Setting,
  type SettingName,
  envOf,
  flagOf,
  settingNames,
  settings,
} from './settings.ts';

/** @returns docs/configuration.md */
export function describeConfig(): string {
  return `# Configuration

Flags win over environment variables, these over the configuration file, and that over the defaults. Flags go after
\`--\`: \`npm start -- --port 9000\`. \`npx berth config\` prints the effective configuration and where each value came from.

The file is named by \`--config\` or \`BERTH_CONFIG\`. It is JSON with the names below, nested at the dots; paths in it count
from its own folder:

\`\`\`json
{ "port": 9000, "pool": { "minBlank": 8 }, "limits": { "wallMs": 60000 }, "acceptGaps": ["own-uid"] }
\`\`\`

Lists are arrays in the file, and separated by commas in flags and environment. An unknown name or a bad value ends the
start with exit code 2 and says what to do. An unknown variable that begins with \`BERTH_\` gives a warning.

## Settings

${table(settingNames.filter((name) => !name.startsWith('limits.')))}

## Limits

These are the operator's values for tenants that have none of their own (\`berth tenant update --limit name=value\`).
The type gives floor and ceiling.

${table(settingNames.filter((name) => name.startsWith('limits.')))}

## Variables of the \`berth\` command

| variable | says |
| --- | --- |
| \`BERTH_URL\` | address of the platform; \`--url\` wins over it |
| \`BERTH_TOKEN\` | token to send; \`--token\` wins over it |
| \`BERTH_TENANT\` | tenant that commands are about; \`--tenant\` wins over it |
| \`NO_COLOR\` | no colours, also on a terminal |
`;
}

/** @returns what \`npm start -- --help\` prints */
export function describeFlags(): string {
  const rows = settingNames.map((name) => [flagOf(name), `${settings[name].says} [${shownDefault(name)}]`]);
  const all = [['--config', 'JSON file of settings'], ...rows];
  const width = Math.max(...all.map(([flag]) => flag!.length));
  const lines = all.map(([flag, says]) => `  ${flag!.padEnd(width)}  ${says}`);
  return `Usage: npm start -- [flags]\n\nFlags win over environment over file; see docs/configuration.md.\n\n${lines.join('\n')}\n`;
}

export interface EffectiveSetting {
  readonly name: SettingName;
  /** JSON value; secrets read \`[secret]\`. */
  readonly value: unknown;
  readonly origin: OriginKind;
  readonly where: string;
}

export function effectiveSettings({ config, origins }: LoadedConfig): readonly EffectiveSetting[] {
  return settingNames.map((name) => {
    const origin = origins.get(name)!;
    const value: unknown = JSON.parse(JSON.stringify(valueOf(config, name)));
    return { name, value, origin: origin.kind, where: origin.where };
  });
}

function valueOf(config: Config, name: SettingName): unknown {
  let value: unknown = config;
  for (const part of name.split('.')) value = (value as Record<string, unknown>)[part];
  return value;
}

function table(names: readonly SettingName[]): string {
  const rows = names.map((name) =>
    [
      `\`${name}\``,
      `\`${envOf(name)}\``,
      `\`${flagOf(name)}\``,
      kindOf(name),
      shownDefault(name),
      settings[name].says,
    ]
      .map((cell) => cell.replaceAll('|', '\\|'))
      .join(' | '),
  );
  return [
    '| name | environment | flag | type | default | says |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n');
}

function kindOf(name: SettingName): string {
  const { says } = settings[name].kind;
  return name === 'acceptGaps' ? says.replace('each one of ', 'each one of: ') : says;
}

function shownDefault(name: SettingName): string {
  const value = (settings[name] as Setting<unknown>).default;
  if (value === null) return 'none';
  if (Array.isArray(value)) return 'empty';
  return typeof value === 'object' ? Object.keys(value).join(', ') : String(value);
}
