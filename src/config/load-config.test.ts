import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { defaultLimits } from '../contracts/limits.ts';
import { builtInKinds } from '../contracts/services.ts';
import { ConfigError } from './config-error.ts';
import { describeConfig, describeFlags, effectiveSettings } from './describe.ts';
import { type ConfigInput, loadConfig } from './load-config.ts';
import { envOf, flagOf, settingNames, settings } from './settings.ts';

const nothing: ConfigInput = {
  argv: [],
  env: {},
  cwd: '/srv/app',
  readFile: () => {
    throw Object.assign(new Error('no file'), { code: 'ENOENT' });
  },
};

function load(change: Partial<ConfigInput>, file?: unknown) {
  return loadConfig({
    ...nothing,
    ...(file === undefined ? {} : { readFile: () => JSON.stringify(file) }),
    ...change,
  });
}

function problemsOf(change: Partial<ConfigInput>, file?: unknown): string {
  try {
    load(change, file);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).exitCode).toBe(2);
    return (error as ConfigError).message;
  }
  throw new Error('it was accepted');
}

describe('loadConfig', () => {
  it('gives the documented defaults when nothing is set', () => {
    const { config, origins, warnings } = loadConfig(nothing);
    expect(config).toMatchObject({ port: 8787, host: '127.0.0.1', dataDir: '/srv/app/data', driver: 'auto' });
    expect(config.limits).toEqual(defaultLimits);
    expect([...origins.values()].every(({ kind }) => kind === 'default')).toBe(true);
    expect(warnings).toEqual([]);
  });

  it('lets flags win over environment over file, and says where each value came from', () => {
    const file = { port: 1, host: '10.0.0.1', pool: { minBlank: 7 } };
    const loaded = load(
      { argv: ['--port', '3'], env: { PORT: '2', HOST: '::1', BERTH_CONFIG: 'berth.json' } },
      file,
    );
    expect(loaded.config).toMatchObject({ port: 3, host: '::1', pool: { minBlank: 7, maxBlank: 16 } });
    expect(loaded.origins.get('port')).toEqual({ kind: 'flag', where: '--port' });
    expect(loaded.origins.get('host')).toEqual({ kind: 'environment', where: 'HOST' });
    expect(loaded.origins.get('pool.minBlank')).toEqual({
      kind: 'file',
      where: '/srv/app/berth.json: pool.minBlank',
    });
  });

  it('reads every setting from its flag, its variable and the file', () => {
    const samples: Record<string, [text: string, value: unknown]> = {
      publicUrl: ['https://berth.example', 'https://berth.example'],
      domain: ['run.example', 'run.example'],
      driver: ['process', 'process'],
      acceptGaps: ['own-uid, seccomp', ['own-uid', 'seccomp']],
      masterKey: ['A'.repeat(43), 'A'.repeat(43)],
      masterKeyFile: ['/k', '/k'],
      dataDir: ['/d', '/d'],
      host: ['::1', '::1'],
      jwksAllow: ['idp.internal:8443', ['idp.internal:8443']],
      'egress.allow': ['10.1.2.3:5432, db.test', ['10.1.2.3:5432', 'db.test']],
      'egress.deny': ['*.bad.test', ['*.bad.test']],
      'egress.dns': ['10.0.0.2, [::1]:5353', ['10.0.0.2', '[::1]:5353']],
      services: [
        '{"redis": {"port": 7000}}',
        { ...builtInKinds, redis: { ...builtInKinds['redis'], port: 7000 } },
      ],
      'log.level': ['warn', 'warn'],
    };
    for (const name of settingNames) {
      const setting = settings[name];
      const isSwitch = setting.kind.isSwitch;
      const [text, value] =
        samples[name] ?? (isSwitch ? ['true', true] : [String(setting.default), setting.default]);
      const nested = name.includes('.')
        ? { [name.split('.')[0]!]: { [name.split('.')[1]!]: value } }
        : { [name]: value };
      const config = { cwd: '/srv/app', env: { BERTH_CONFIG: 'b.json' } };
      for (const [kind, loaded] of [
        ['flag', load({ argv: [`${flagOf(name)}=${text}`] })],
        ['environment', load({ env: { [envOf(name)]: text } })],
        ['file', load(config, nested)],
      ] as const) {
        expect(loaded.origins.get(name)?.kind, name).toBe(kind);
        const shown = effectiveSettings(loaded).find((setting) => setting.name === name);
        expect(shown?.value, name).toEqual(
          name === 'masterKey'
            ? '[secret]'
            : name === 'dataDir' && kind === 'file'
              ? '/d'
              : value === 'data'
                ? '/srv/app/data'
                : value,
        );
      }
    }
  });

  it('counts relative paths from the working directory, and in a file from the folder of the file', () => {
    expect(load({ env: { BERTH_DATA_DIR: 'x' } }).config.dataDir).toBe('/srv/app/x');
    expect(load({ argv: ['--config=/etc/berth/b.json'] }, { dataDir: 'x' }).config.dataDir).toBe(
      '/etc/berth/x',
    );
  });

  it('takes a switch without a value, and does not swallow what follows', () => {
    const { config } = load({ argv: ['--log-access', '--port', '5'] });
    expect(config.log.access).toBe(true);
    expect(config.port).toBe(5);
    expect(load({ argv: ['--log-access=no'] }).config.log.access).toBe(false);
  });

  it('is deeply frozen', () => {
    const { config } = load({ env: { BERTH_ACCEPT_GAPS: 'seccomp' } });
    for (const part of [config, config.pool, config.log, config.limits, config.acceptGaps])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('never shows a secret', () => {
    const key = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG';
    const loaded = load({ env: { BERTH_MASTER_KEY: key } });
    expect(loaded.config.masterKey?.reveal()).toBe(key);
    for (const shown of [
      JSON.stringify(loaded.config),
      inspect(loaded, { depth: 9 }),
      `${loaded.config.masterKey}`,
    ]) {
      expect(shown).toContain('[secret]');
      expect(shown).not.toContain(key);
    }
    expect(problemsOf({ env: { BERTH_MASTER_KEY: `${key}oops` } })).not.toContain(key);
  });
});

describe('what is wrong', () => {
  it('is told all at once, each with where, what and the way out', () => {
    const told = problemsOf({
      argv: ['--prot', '--grace-ms=-4'],
      env: { PORT: 'http', BERTH_DRIVER: 'doker' },
    });
    expect(told).toContain('--prot: there is no such flag');
    expect(told).toContain('Did you mean --port?');
    expect(told).toContain('--grace-ms: must be an integer from 0 to 900000');
    expect(told).toContain('PORT: must be an integer from 0 to 65535');
    expect(told).toContain('BERTH_DRIVER: must be one of auto, jail, docker, process');
  });

  it.each([
    [{ pol: { minBlank: 1 } }, 'pol.minBlank: there is no such setting'],
    [{ limits: { wallMS: 1 } }, 'Did you mean limits.wallMs?'],
    [{ limits: { wallMs: 1 } }, 'limits.wallMs: must be an integer from 100 to 900000'],
    [{ port: '8787' }, 'port: must be an integer'],
    [{ pool: 3 }, 'pool: there is no such setting'],
    [[1], 'must hold one JSON object'],
    [{ acceptGaps: ['none'] }, 'acceptGaps: must be one of own-uid'],
    [JSON.parse('{"__proto__":{"port":1}}'), '__proto__.port: there is no such setting'],
  ])('in a file: %j', (file, expected) => {
    expect(problemsOf({ env: { BERTH_CONFIG: 'b.json' } }, file)).toContain(expected);
  });

  it('is a file that is not there or is no JSON', () => {
    expect(problemsOf({ argv: ['--config', 'none.json'] })).toContain(
      '/srv/app/none.json: the file cannot be read (ENOENT)',
    );
    expect(problemsOf({ env: { BERTH_CONFIG: 'b' }, readFile: () => '{ "port": ' })).toContain('is not JSON');
  });

  it('is a flag without its value, and two keys at once', () => {
    expect(problemsOf({ argv: ['--port'] })).toContain('--port: the value is missing');
    expect(problemsOf({ argv: ['--config'] })).toContain('--config: the value is missing');
    expect(problemsOf({ argv: ['--port', '--host', 'x'] })).toContain('--port: the value is missing');
    expect(problemsOf({ env: { BERTH_MASTER_KEY: 'A'.repeat(43), BERTH_MASTER_KEY_FILE: 'k' } })).toContain(
      'both are set',
    );
  });

  it('is a pool that cannot be', () => {
    expect(problemsOf({ argv: ['--pool-min-blank=20'] })).toContain('minBlank is larger than maxBlank');
    expect(problemsOf({ argv: ['--max-sandboxes=8'] })).toContain('maxBlank is larger than maxSandboxes');
  });

  it('is only a warning for a variable, because others set variables too', () => {
    const { warnings } = load({
      env: { BERTH_DATADIR: 'x', BERTH_TOKEN: 't', BERTH_SERVICE_HOST: '10.0.0.1' },
    });
    expect(warnings).toEqual(['BERTH_DATADIR is not a setting of Berth. Did you mean BERTH_DATA_DIR?']);
  });

  it('is not an empty variable', () => {
    expect(load({ env: { PORT: '', BERTH_CONFIG: '' } }).config.port).toBe(8787);
  });
});

it('names every setting, flag and variable in the documentation and the help', () => {
  const help = describeFlags();
  const page = describeConfig();
  for (const name of settingNames) {
    expect(help).toContain(flagOf(name));
    for (const text of [name, flagOf(name), envOf(name)]) expect(page).toContain(`\`${text}\``);
  }
  expect(new Set(settingNames.map(envOf)).size).toBe(settingNames.length);
});
