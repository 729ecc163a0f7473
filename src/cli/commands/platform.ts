/** `berth status`, `limits`, `config`, `login`, `logout` */
import { readFileSync } from 'node:fs';
import { effectiveSettings } from '../../config/describe.ts';
import type { About } from '../../client/records.ts';
import { loadConfig } from '../../config/load-config.ts';
import { type Register, addCommand } from '../command.ts';
import { ExitCode, UsageError } from '../exit-code.ts';
import { textOrFile } from '../option-values.ts';
import { removeProfile, writeProfile } from '../profile.ts';
import { type GlobalOptions, Session } from '../session.ts';
import { fields } from '../views.ts';

export const registerPlatform: Register = (parent, program) => {
  addCommand(
    parent,
    program,
    { usage: 'status', says: 'say whether the platform is ready, and what this token is good for' },
    status,
  );
  addCommand(parent, program, { usage: 'limits', says: 'list every limit' }, limits);
  addCommand<{ readonly config?: string }>(
    parent,
    program,
    {
      usage: 'config',
      says: 'print the effective configuration of a server started here, and where each value came from',
      options: (command) => command.option('--config <file>', 'configuration file (BERTH_CONFIG)'),
    },
    config,
  );
  addCommand<GlobalOptions>(
    parent,
    program,
    {
      usage: 'login',
      says: 'remember address, token and tenant (--url, --token, --tenant) in a file of yours',
      examples: ['berth login --url https://berth.example --token @token.txt --tenant acme'],
    },
    login,
  );
  addCommand(
    parent,
    program,
    { usage: 'logout', says: 'forget what login remembered' },
    async ({ io, output }) => {
      const isRemoved = removeProfile(io);
      output.result({ removed: isRemoved }, isRemoved ? 'The profile is removed.' : 'There was no profile.');
    },
  );
};

async function status(session: Session): Promise<number> {
  const { client, output, target } = session;
  const readiness = await client.readiness();
  const about = target.token === null ? null : await client.about();
  const text = fields(output, [
    ['address', client.url],
    ['ready', readiness.isReady ? output.style('green', 'yes') : `no: ${readiness.reasons.join('; ')}`],
    ['token', target.tokenFrom ?? 'none (--token, BERTH_TOKEN, berth login)'],
    ...(about === null
      ? []
      : ([
          ['scopes', about.scopes.join(', ')],
          ...(about.tenant === null ? [] : [['tenant', about.tenant] as const]),
          ['version', `Berth ${about.version}, Node.js ${about.node}`],
          ['driver', about.driver.name],
          ...runtimeRows(about.driver.runtimes),
        ] as const)),
    ...gapRows(about?.driver.gaps ?? []),
  ]);
  output.result({ url: client.url, ...readiness, tokenFrom: target.tokenFrom, about }, text);
  return readiness.isReady ? ExitCode.ok : ExitCode.failure;
}

/** One row a tier that can be had here. */
function runtimeRows(runtimes: About['driver']['runtimes']): (readonly [string, string])[] {
  return Object.entries(runtimes).flatMap(([tier, runtime]) => {
    if (runtime === null) return [];
    const { name, hasOwnKernel, fixedLimits, canFreeze } = runtime;
    const words = [
      name,
      ...(hasOwnKernel ? ['a kernel of its own'] : []),
      canFreeze ? 'idle functions are frozen' : 'idle functions go on',
      ...(fixedLimits.length === 0 ? [] : [`replaced when ${fixedLimits.join(' or ')} change`]),
    ];
    return [[tier, words.join('; ')] as const];
  });
}

/** One row a reason: a driver without isolation has the same one for all that it lacks. */
function gapRows(gaps: About['driver']['gaps']): (readonly ['gap', string])[] {
  const byReason = Map.groupBy(gaps, ({ reason }) => reason ?? '');
  return [...byReason].map(([reason, group]) => {
    const names = group.map(({ name, isAccepted }) => `${name}${isAccepted ? ' (accepted)' : ''}`);
    return ['gap', `${names.join(', ')}${reason === '' ? '' : `: ${reason}`}`];
  });
}

async function limits({ client, output }: Session): Promise<void> {
  const table = await client.limits();
  const rows = Object.entries(table).map(([name, limit]) => [
    name,
    String(limit.default),
    String(limit.floor),
    String(limit.ceiling),
    limit.unit,
    limit.says,
  ]);
  output.result(table, output.table(['limit', 'default', 'least', 'most', 'unit', 'limits'], rows, ''));
}

async function config(
  { io, output }: Session,
  _args: unknown,
  options: { readonly config?: string },
): Promise<void> {
  const loaded = loadConfig({
    argv: options.config === undefined ? [] : [`--config=${options.config}`],
    env: io.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    cwd: io.cwd,
  });
  for (const warning of loaded.warnings) output.note(`${output.style('yellow', 'warning:')} ${warning}`);
  const all = effectiveSettings(loaded);
  const rows = all.map(({ name, value, where }) => [
    name,
    typeof value === 'string' ? value : JSON.stringify(value),
    where,
  ]);
  output.result(
    Object.fromEntries(all.map(({ name, value, origin, where }) => [name, { value, origin, where }])),
    output.table(['setting', 'value', 'from'], rows, ''),
  );
}

async function login({ io, output, target }: Session, _args: unknown, options: GlobalOptions): Promise<void> {
  if (options.token === undefined)
    throw new UsageError('There is no token to remember.', 'Give --token <token>, or --token @file.');
  const token = (await textOrFile(options.token, io)).trim();
  const session = new Session(io, { ...options, token, url: target.url });
  // A token that does not work is told now, not at the next command.
  const { scopes, tenant: ownTenant } = await session.client.about();
  const tenant = options.tenant ?? ownTenant;
  if (tenant !== null) await session.client.tenant(tenant).get();
  const file = writeProfile(io, { url: session.client.url, token, tenant });
  output.result(
    { url: session.client.url, tenant, scopes, file },
    `Logged in to ${session.client.url}${tenant === null ? '' : `, tenant ${tenant}`} (${scopes.join(', ')}). Kept in ${file}.`,
  );
}
