/** `berth tenant …` */
import { type IsolationTier, isolationTiers } from '../../contracts/isolations.ts';
import type { TenantRecord } from '../../client/records.ts';
import { type Arguments, type Register, addCommand, addGroup } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import { collect, count, egressPolicy, limitPairs } from '../option-values.ts';
import { safe } from '../output.ts';
import type { Session } from '../session.ts';
import { fields, when } from '../views.ts';

interface TenantOptions {
  readonly name?: string;
  readonly limit?: readonly string[];
  readonly egress?: readonly string[];
  readonly suspend?: boolean;
  readonly activate?: boolean;
  readonly isolation?: string;
}

interface UsageOptions {
  readonly days: number;
}

const DEFAULT_DAYS = 30;

const egressOption = [
  '--egress <target>',
  'where its code may connect to: public, none, or patterns such as api.example.com:443 (repeat)',
  collect,
] as const;

const isolationOption = ['--isolation <tier>', `${isolationTiers.join(' or ')} (gVisor)`] as const;

export const registerTenants: Register = (parent, program) => {
  const group = addGroup(parent, 'tenant', 'customers of this platform', ['tenants']);
  addCommand<TenantOptions>(
    group,
    program,
    {
      usage: 'create <id>',
      says: 'make a tenant',
      options: (command) =>
        command
          .option('--name <text>', 'name for people')
          .option('--limit <name=value>', 'a limit of its own (repeat)', collect)
          .option(...egressOption)
          .option(...isolationOption),
    },
    createTenant,
  );
  addCommand(group, program, { usage: 'ls', says: 'list tenants', aliases: ['list'] }, listTenants);
  addCommand(
    group,
    program,
    { usage: 'show <id>', says: 'show a tenant and its limits' },
    async (session, [id]) => {
      const tenant = await session.client.tenant(id!).get();
      session.output.result(tenant, tenantText(session, tenant));
    },
  );
  registerUpdate(group, program);
  addCommand<UsageOptions>(
    group,
    program,
    {
      usage: 'usage <id>',
      says: 'what a tenant used, by day (UTC)',
      options: (command) =>
        command.option('--days <number>', 'how many, today included', count, DEFAULT_DAYS),
    },
    showUsage,
  );
  addCommand(
    group,
    program,
    {
      usage: 'rm <id>',
      says: 'delete a tenant with all its functions, secrets and logs',
      aliases: ['delete'],
    },
    async ({ client, output }, [id]) => {
      await client.tenant(id!).delete();
      output.result({ deleted: id }, `Tenant ${id} is deleted, with all that it owned.`);
    },
  );
};

const registerUpdate: Register = (group, program) => {
  addCommand<TenantOptions>(
    group,
    program,
    {
      usage: 'update <id>',
      says: 'change name, limits, egress, isolation or state; takes effect at once',
      options: (command) =>
        command
          .option('--name <text>', 'name for people')
          .option('--limit <name=value>', 'set a limit, or "name=default" to take it back (repeat)', collect)
          .option(...egressOption)
          .option(...isolationOption)
          .option('--suspend', 'refuse all its requests and kill its sandboxes')
          .option('--activate', 'end a suspension'),
    },
    updateTenant,
  );
};

async function createTenant(
  { client, output }: Session,
  [id]: Arguments,
  { name, limit, egress: targets, isolation }: TenantOptions,
): Promise<void> {
  const limits: Record<string, number> = {};
  for (const [limitName, value] of limitPairs(limit ?? [])) if (value !== null) limits[limitName] = value;
  const egress = egressPolicy(targets);
  const tenant = await client.createTenant({
    id: id!,
    limits,
    ...(name === undefined ? {} : { name }),
    ...(egress === undefined ? {} : { egress }),
    ...isolationOf(isolation),
  });
  output.result(
    tenant,
    `Tenant ${tenant.id} is there. Deploy with: berth deploy <file> --tenant ${tenant.id}`,
  );
}

async function listTenants({ client, output }: Session): Promise<void> {
  const tenants: TenantRecord[] = [];
  for await (const tenant of client.tenants()) tenants.push(tenant);
  const rows = tenants.map(({ id, name, state, createdAt }) => [id, state, when(createdAt), name]);
  const text = output.table(
    ['tenant', 'state', 'created', 'name'],
    rows,
    'There is no tenant. Make one: berth tenant create <id>',
  );
  output.result(tenants, text);
}

async function showUsage(
  { client, output }: Session,
  [id]: Arguments,
  { days }: UsageOptions,
): Promise<void> {
  const usage = await client.tenant(id!).usage(days);
  const rows = usage.map(({ day, name, amount }) => [day, name, String(amount)]);
  const text = output.table(['day', 'what', 'amount'], rows, 'Nothing was used in this time.');
  output.result(usage, text);
}

async function updateTenant(
  session: Session,
  [id]: Arguments,
  { name, limit, egress: targets, suspend, activate, isolation }: TenantOptions,
): Promise<void> {
  if (suspend === true && activate === true)
    throw new UsageError('--suspend and --activate exclude each other.', 'Give one of them.');
  const state = suspend === true ? 'suspended' : activate === true ? 'active' : undefined;
  const egress = egressPolicy(targets);
  if ([name, limit, egress, state, isolation].every((one) => one === undefined))
    throw new UsageError(
      'Nothing is to be changed.',
      'Give --name, --limit, --egress, --isolation, --suspend or --activate.',
    );
  const tenant = session.client.tenant(id!);
  const limits = limit === undefined ? undefined : await changedLimits(tenant, limit);
  const changed = await tenant.update({
    ...(name === undefined ? {} : { name }),
    ...(limits === undefined ? {} : { limits }),
    ...(egress === undefined ? {} : { egress }),
    ...(state === undefined ? {} : { state }),
    ...isolationOf(isolation),
  });
  session.output.result(changed, tenantText(session, changed));
}

function isolationOf(text: string | undefined): { readonly isolation?: IsolationTier } {
  if (text === undefined) return {};
  const isolation = isolationTiers.find((tier) => tier === text);
  if (isolation !== undefined) return { isolation };
  throw new UsageError(`There is no isolation "${text}".`, `Write ${isolationTiers.join(' or ')}.`);
}

/** The platform replaces limits as a whole, so those that stay are sent too. */
async function changedLimits(
  tenant: { get(): Promise<TenantRecord> },
  given: readonly string[],
): Promise<Record<string, number>> {
  const limits: Record<string, number> = { ...(await tenant.get()).limits };
  for (const [name, value] of limitPairs(given)) {
    if (value === null) delete limits[name];
    else limits[name] = value;
  }
  return limits;
}

function tenantText({ output }: Session, tenant: TenantRecord): string {
  const own = Object.entries(tenant.limits).map(([name, value]) => `${name}=${value}`);
  return fields(output, [
    ['tenant', tenant.id],
    ['name', safe(tenant.name)],
    ['state', tenant.state],
    ['isolation', tenant.isolation],
    ['created', when(tenant.createdAt)],
    ['egress', [tenant.egress ?? 'unknown'].flat().join(' ')],
    ['own limits', own.length === 0 ? 'none' : own.join(' ')],
    ...Object.entries(tenant.effectiveLimits ?? {}).map(([name, value]): [string, string] => [
      `  ${name}`,
      String(value),
    ]),
  ]);
}
