/** Every setting of the platform, in one table: flags, environment, file, `berth config` and docs/configuration.md come from it. */
import { isolations } from '../contracts/isolations.ts';
import { builtInKinds } from '../contracts/services.ts';
import { limitDefinitions, limitNames, type LimitName } from '../contracts/limits.ts';
import {
  type SettingKind,
  bool,
  egressPattern,
  integer,
  listOf,
  matching,
  oneOf,
  optional,
  ownAddress,
  secretKey,
  serviceKinds,
} from './setting-kinds.ts';

export interface Setting<T> {
  readonly kind: SettingKind<T>;
  readonly default: T;
  readonly says: string;
  /** A path: relative ones count from the working directory, in a file from the file's folder. */
  readonly isPath?: boolean;
  /** Left out: `BERTH_` and the name in capitals. */
  readonly env?: string;
}

const path = matching(/^[^\0]{1,4096}$/, 'a path');
const hostName =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

const ownSettings = {
  port: set(integer(0, 65_535), 8787, 'TCP port that the server listens on; 0 takes a free one', {
    env: 'PORT',
  }),
  host: set(ownAddress, '127.0.0.1', 'address that the server listens on', { env: 'HOST' }),
  publicUrl: set(
    optional(matching(/^https?:\/\/[^\s/?#]+$/, 'an http or https URL without a path')),
    null,
    'URL under which users reach the platform, for the addresses that it gives out; left out: from host and port',
  ),
  domain: set(
    optional(matching(hostName, 'a host name in small letters')),
    null,
    'functions are also served at {tenant}.{domain}/{function}',
  ),
  trustProxy: set(
    bool,
    false,
    'take the client address and scheme from X-Forwarded-For and X-Forwarded-Proto; only behind a proxy of your own',
  ),
  dataDir: set(path, 'data', 'folder of the database, the keys and the operator token', { isPath: true }),
  driver: set(
    oneOf(['auto', 'jail', 'docker', 'process']),
    'auto',
    'what makes sandboxes; auto is jail; process gives no isolation',
  ),
  'docker.host': set(
    matching(/^unix:\/\/\/[^\0]{1,4096}$/, 'unix:// and the path of a socket'),
    'unix:///var/run/docker.sock',
    'where the Docker Engine listens; who can speak to it is root on its host',
  ),
  'docker.runtime': set(
    oneOf(['runc', 'runsc', 'any']),
    'runc',
    'OCI runtime of sandboxes: runc; runsc (gVisor) for all; any: runc, and runsc for tenants with isolation hardened',
  ),
  'docker.channel': set(
    oneOf(['auto', 'socket', 'stdio']),
    'auto',
    'how the platform talks to a container: socket, mounted; stdio, its standard streams; auto: these where no socket can be mounted',
  ),
  services: set(
    serviceKinds,
    builtInKinds,
    'kinds of services that tenants can be given, and the images that they are of; over postgres and redis, docs/services.md',
  ),
  acceptGaps: set(
    listOf(oneOf(isolations)),
    [],
    'isolations that may be missing on this host although there is more than one tenant',
  ),
  masterKey: set(
    optional(secretKey),
    null,
    'key that encrypts tenants’ secrets; left out: masterKeyFile, or a file made in dataDir at the first start',
  ),
  masterKeyFile: set(optional(path), null, 'file (mode 0600) that holds the master key', { isPath: true }),
  maxSandboxes: set(
    integer(1, 100_000),
    500,
    'sandboxes of all tenants at the same time, blank ones included',
  ),
  serverUid: set(
    integer(1, 2 ** 31 - 1),
    299_999,
    'user and group number under which the server runs when the platform is started as root; no number that another program or a sandbox has (300000-365535)',
  ),
  'pool.minBlank': set(integer(0, 1_000), 4, 'blank sandboxes that always wait to be claimed'),
  'pool.maxBlank': set(integer(0, 1_000), 16, 'blank sandboxes that are kept after a burst'),
  'pool.startConcurrency': set(integer(1, 256), 4, 'sandboxes that start at the same time'),
  graceMs: set(
    integer(0, 900_000),
    10_000,
    'milliseconds that running invocations get when the platform stops',
  ),
  metricsPublic: set(bool, false, '/metrics needs no token'),
  jwksAllow: set(
    listOf(matching(/^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$/, 'host or host:port')),
    [],
    'hosts from which tenants’ JWKS may be fetched although they are not public or speak plain http',
  ),
  'egress.allow': set(
    listOf(egressPattern),
    [],
    'targets that tenants may reach although they are not public, where their policy is public or names them; docs/egress.md',
  ),
  'egress.deny': set(listOf(egressPattern), [], 'targets that no tenant may reach, whatever its policy says'),
  'egress.dns': set(
    listOf(matching(/^(?:[\d.]{7,15}|\[[0-9a-fA-F:]{2,39}\])(?::\d{1,5})?$/, 'an address, or address:port')),
    [],
    'name servers that tenants’ look-ups are asked of; left out: those of this host',
  ),
  'egress.maxConnections': set(
    integer(0, 1_000_000),
    4_096,
    'outgoing connections and look-ups of all tenants at the same time',
  ),
  'log.level': set(
    oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    'info',
    'least level of the platform’s own log',
  ),
  'log.access': set(bool, false, 'write a log line for each request'),
};

type LimitSettings = { [name in LimitName as `limits.${name}`]: Setting<number> };

const limitSettings = Object.fromEntries(
  limitNames.map((name) => {
    const { default: value, floor, ceiling, says, unit } = limitDefinitions[name];
    return [
      `limits.${name}`,
      set(integer(floor, ceiling), value, `${says} (${unit}); tenants may get their own`),
    ];
  }),
) as LimitSettings;

export const settings = { ...ownSettings, ...limitSettings };
export type SettingName = keyof typeof settings;
export const settingNames = Object.keys(settings) as SettingName[];

type ValueOf<S> = S extends Setting<infer T> ? T : never;
/** One value for each setting, by its dotted name. */
export type FlatConfig = { readonly [name in SettingName]: ValueOf<(typeof settings)[name]> };
type Plain = Exclude<SettingName, `${string}.${string}`>;
type In<Group extends string> = {
  readonly [name in SettingName as name extends `${Group}.${infer Rest}` ? Rest : never]: FlatConfig[name];
};

/** The settings as the platform uses them; deeply frozen. */
export type Config = { readonly [name in Plain]: FlatConfig[name] } & {
  readonly pool: In<'pool'>;
  readonly log: In<'log'>;
  readonly egress: In<'egress'>;
  readonly docker: In<'docker'>;
  /** The operator's limits for tenants that have none of their own. */
  readonly limits: In<'limits'>;
};

export function envOf(name: SettingName): string {
  return (settings[name] as Setting<unknown>).env ?? `BERTH_${words(name).join('_').toUpperCase()}`;
}

export function flagOf(name: SettingName): string {
  return `--${words(name).join('-').toLowerCase()}`;
}

function words(name: string): string[] {
  return name.replaceAll(/[A-Z]/g, (letter) => `.${letter}`).split('.');
}

function set<T>(
  kind: SettingKind<T>,
  value: NoInfer<T>,
  says: string,
  more: Pick<Setting<T>, 'isPath' | 'env'> = {},
): Setting<T> {
  return { kind, default: value, says, ...more };
}
