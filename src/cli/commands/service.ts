/** `berth service …`: programs that keep data for a tenant, such as PostgreSQL or Redis. */
import { serviceNameSchema } from '../../contracts/ids.ts';
import type { ServiceItem } from '../../client/records.ts';
import { type Arguments, type Register, addCommand, addGroup } from '../command.ts';
import { UsageError } from '../exit-code.ts';
import { mebibytes } from '../option-values.ts';
import type { Session } from '../session.ts';
import { fields, sizeOf, when } from '../views.ts';

interface CreateOptions {
  readonly name?: string;
  readonly memory?: number;
}

export const registerServices: Register = (parent, program) => {
  const group = addGroup(parent, 'service', 'databases and the like, for one tenant alone', ['services']);
  addCommand<CreateOptions>(
    group,
    program,
    {
      usage: 'create <kind>',
      says: 'make a service and start it; functions find its address and password in their secrets',
      options: (command) =>
        command
          .option('--name <name>', 'what it is called; left out: as its kind')
          .option(
            '--memory <MiB>',
            'its memory; left out: what the limit serviceMemoryBytes allows',
            mebibytes,
          ),
      examples: ['berth service create redis', 'berth service create postgres --name orders --memory 512'],
    },
    createService,
  );
  addCommand(group, program, { usage: 'ls', says: 'list services', aliases: ['list'] }, listServices);
  addCommand(
    group,
    program,
    { usage: 'start <name>', says: 'start one that was stopped' },
    async (session, [name]) => {
      const tenant = await session.tenant();
      const started = await session.output.during(
        `starting ${name}`,
        tenant.startService(serviceName(name!)),
      );
      session.output.result(started, `Service ${started.name} is ${started.state}.`);
    },
  );
  addCommand(
    group,
    program,
    { usage: 'stop <name>', says: 'stop one; what it keeps stays' },
    async (session, [name]) => {
      const stopped = await (await session.tenant()).stopService(serviceName(name!));
      session.output.result(stopped, `Service ${stopped.name} is ${stopped.state}; what it keeps stays.`);
    },
  );
  addCommand(
    group,
    program,
    { usage: 'rm <name>', says: 'delete one with all that it keeps', aliases: ['delete'] },
    async (session, [name]) => {
      await (await session.tenant()).deleteService(serviceName(name!));
      session.output.result({ deleted: name }, `Service ${name} is deleted, with all that it kept.`);
    },
  );
};

async function createService(
  session: Session,
  [kind]: Arguments,
  { name, memory }: CreateOptions,
): Promise<void> {
  const tenant = await session.tenant();
  const created = await session.output.during(
    `starting ${name ?? kind}`,
    tenant.createService({
      kind: kind!,
      ...(name === undefined ? {} : { name: serviceName(name) }),
      ...(memory === undefined ? {} : { memoryBytes: memory }),
    }),
  );
  session.output.result(created, createdText(session, created));
}

function createdText({ output }: Session, { name, kind, state, host, port, secrets }: ServiceItem): string {
  return [
    `Service ${name} (${kind}) is ${state}.`,
    fields(output, [
      ['address', `${host}:${port}`],
      ['secrets', secrets.join(', ')],
    ]),
    'Every function of the tenant has them, and no other.',
  ].join('\n');
}

async function listServices(session: Session): Promise<void> {
  const services = await (await session.tenant()).services();
  const rows = services.map(
    ({ name, kind, state, reason, host, port, memoryBytes, diskBytes, createdAt }) => [
      name,
      kind,
      reason === null ? state : `${state}: ${reason}`,
      port === null ? host : `${host}:${port}`,
      sizeOf(memoryBytes),
      diskBytes === null ? '-' : sizeOf(diskBytes),
      when(createdAt),
    ],
  );
  session.output.result(
    services,
    session.output.table(
      ['service', 'kind', 'state', 'address', 'memory', 'disk', 'made'],
      rows,
      'There is no service.',
    ),
  );
}

function serviceName(text: string): string {
  const name = serviceNameSchema.safeParse(text);
  if (name.success) return name.data;
  throw new UsageError(`"${text}" is no name of a service.`, name.error.issues[0]!.message);
}
