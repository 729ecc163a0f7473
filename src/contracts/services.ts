/**
 * Services: programs that keep data for one tenant (a PostgreSQL, a Redis), each in a container of its own. What kinds
 * there are is the operator's list; a kind says how its image is run. No I/O. How it works: docs/adr/0009-services.md.
 */
import { z } from 'zod';

/** Below this name functions reach the services of their own tenant: `redis.service.berth.internal`. */
export const SERVICE_SUFFIX = '.service.berth.internal';

/** Open at the same time to one service, of all sandboxes of its tenant. */
export const MAX_SERVICE_CONNECTIONS = 1_000;
/** What either end may have in memory for them: above a window of HTTP/2 (64 KiB) for each. */
export const SERVICE_SESSION_MEGABYTES = 128;

const KIND = /^[a-z][a-z0-9-]{0,30}$/;
const MAX_TEXT_CHARACTERS = 4_096;
const MAX_ENTRIES = 64;
/** Places that a definition may leave open; they are filled in for each service. */
const OPEN_PLACE = /\{(password|host|port|memoryBytes|halfMemoryBytes)\}/g;

const text = z
  .string()
  .max(MAX_TEXT_CHARACTERS)
  .refine((given) => !given.includes('\0'), 'no NUL');
export const serviceKindSchema = z
  .string()
  .regex(KIND, 'a kind of service is 1-31 of a-z, 0-9 and "-", starting with a letter');

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

export const serviceDefinitionSchema = z.strictObject({
  /** As the engine knows it; it must be there, nothing is pulled. */
  image: z.string().regex(/^[a-z0-9][a-zA-Z0-9._/:@-]{0,254}$/, 'must be the name of an image'),
  /** On which the program listens, at 127.0.0.1 or everywhere. */
  port: z.int().min(1).max(65_535),
  /** The folder of its data: there the volume is. */
  dataPath: z
    .string()
    .max(200)
    .regex(/^(?:\/[A-Za-z0-9._-]+)+$/, 'must be an absolute path')
    .refine((path) => !/\/\.{1,2}(?:\/|$)/.test(path), 'must not hold . or ..'),
  /** Arguments in place of the image's own. */
  command: z.array(text).max(MAX_ENTRIES).optional(),
  /** Environment besides the image's. May hold `{password}`. */
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), text).default({}),
  /** What it reads on standard input. May hold `{password}`. */
  input: text.default(''),
  /** Upon which it ends in order, without waiting for its clients. */
  stopSignal: z.enum(stopSignals).default('SIGTERM'),
  /** What functions connect with: `redis://:{password}@{host}:{port}`. */
  url: text,
});
export type ServiceDefinition = z.output<typeof serviceDefinitionSchema>;
export type ServiceKinds = Readonly<Record<string, ServiceDefinition>>;

/** For the images of Docker's library (docker.io/library), and for those of scripts/service-images.sh. */
export const builtInKinds: ServiceKinds = {
  postgres: {
    image: 'postgres:17',
    port: 5432,
    dataPath: '/var/lib/postgresql/data',
    env: {
      POSTGRES_USER: 'berth',
      POSTGRES_DB: 'berth',
      POSTGRES_PASSWORD: '{password}',
      // The volume's own folder may hold more than initdb accepts.
      PGDATA: '/var/lib/postgresql/data/cluster',
    },
    input: '',
    stopSignal: 'SIGINT',
    url: 'postgres://berth:{password}@{host}:{port}/berth',
  },
  redis: {
    image: 'redis:7',
    port: 6379,
    dataPath: '/data',
    command: ['redis-server', '-'],
    env: {},
    // Half of the memory is for data: a rewrite of the append-only file copies what changes meanwhile.
    input: [
      'bind 127.0.0.1',
      'port 6379',
      'requirepass {password}',
      'dir /data',
      'appendonly yes',
      'maxmemory {halfMemoryBytes}',
      '',
    ].join('\n'),
    stopSignal: 'SIGTERM',
    url: 'redis://:{password}@{host}:{port}',
  },
};

/**
 * The operator's list over the built-in one: of a kind that is built in, only what differs has to be said (an image, say).
 * Such as the setting `services` holds.
 */
export const serviceKindsSchema = z
  .record(serviceKindSchema, z.record(z.string(), z.unknown()))
  .transform((given, context): ServiceKinds => {
    const kinds: Record<string, ServiceDefinition> = { ...builtInKinds };
    for (const [kind, change] of Object.entries(given)) {
      const parsed = serviceDefinitionSchema.safeParse({ ...builtInKinds[kind], ...change });
      if (parsed.success) kinds[kind] = parsed.data;
      for (const { path, message } of parsed.error?.issues ?? [])
        context.addIssue({ code: 'custom', path: [kind, ...path], message });
    }
    return kinds;
  });

export interface ServiceFacts {
  readonly password: string;
  readonly host: string;
  readonly port: number;
  readonly memoryBytes: number;
}

export function fillPlaces(template: string, facts: ServiceFacts): string {
  const values = { ...facts, halfMemoryBytes: Math.floor(facts.memoryBytes / 2) };
  return template.replaceAll(OPEN_PLACE, (_place, name: keyof typeof values) => String(values[name]));
}

/** What the functions of its tenant find in their secrets: `CACHE_URL`, … of the service `cache`. */
export function serviceSecretNames(service: string): readonly string[] {
  return secretParts.map((part) => secretName(service, part));
}

const secretParts = ['URL', 'HOST', 'PORT', 'PASSWORD'] as const;

function secretName(service: string, part: (typeof secretParts)[number]): string {
  return `${service.toUpperCase().replaceAll('-', '_')}_${part}`;
}

export function serviceSecrets(
  service: string,
  { url }: Pick<ServiceDefinition, 'url'>,
  facts: ServiceFacts,
): Readonly<Record<string, string>> {
  const values = {
    URL: fillPlaces(url, facts),
    HOST: facts.host,
    PORT: String(facts.port),
    PASSWORD: facts.password,
  };
  return Object.fromEntries(secretParts.map((part) => [secretName(service, part), values[part]]));
}

/** What the keeper in the container of a service is told when it shall start the program. */
export const serviceStartSchema = z.strictObject({
  env: z.record(z.string(), z.string()),
  input: z.string(),
  stopSignal: z.enum(stopSignals),
});
export type ServiceStart = z.output<typeof serviceStartSchema>;
