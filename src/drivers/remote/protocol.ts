/**
 * What server and supervisor say to each other over the one socket that the server inherits: the verbs of `Driver` and
 * nothing else. The supervisor parses every message of the server with the strict schemas here, limits within the
 * ceilings of `contracts/limits.ts`, and cuts the line at the first one that does not fit.
 */
import { z } from 'zod';
import { errorDefinitions, type ErrorCode } from '../../contracts/errors.ts';
import { asSandboxId, volumeIdSchema } from '../../contracts/ids.ts';
import { limitDefinitions, type LimitName } from '../../contracts/limits.ts';
import { isolationTiers } from '../../contracts/isolations.ts';
import { serviceKindSchema } from '../../contracts/services.ts';
import { type DriverFacts, driverNames, isolations, type RuntimeFacts } from '../driver.ts';

/** Raised with every change of a message. Both sides come from one installation, so other versions are refused. */
export const PROTOCOL_VERSION = 4;

const MiB = 1024 * 1024;
const MAX_PATH_CHARACTERS = 256;
const MAX_FRAMES = 1_000;
const MAX_NODE_MAJOR = 999;
const MAX_TEXT_CHARACTERS = 8_192;

const callNumber = z.int().min(1).max(Number.MAX_SAFE_INTEGER);
const count = z.number().min(0);
const text = z.string().max(MAX_TEXT_CHARACTERS);

export const sandboxIdSchema = z.string().transform((given, context) => {
  try {
    return asSandboxId(given);
  } catch {
    context.addIssue({ code: 'custom', message: 'no sandbox id' });
    return z.NEVER;
  }
});

function upTo(name: LimitName): z.ZodInt {
  return z.int().min(1).max(limitDefinitions[name].ceiling);
}

export const sandboxLimitsSchema = z.strictObject({
  memoryBytes: upTo('memoryBytes'),
  cpuMillis: upTo('cpuMillis'),
  pids: upTo('pids'),
  tmpBytes: upTo('tmpBytes'),
  tmpInodes: upTo('tmpInodes'),
});

const specSchema = z.strictObject({
  id: sandboxIdSchema,
  channelDir: z.string().max(MAX_PATH_CHARACTERS),
  limits: sandboxLimitsSchema,
  heapMb: z
    .int()
    .min(1)
    .max(limitDefinitions.memoryBytes.ceiling / MiB),
  kind: z.strictObject({ isolation: z.enum(isolationTiers), nodeMajor: z.int().min(1).max(MAX_NODE_MAJOR) }),
});

/** What the container is made of is the supervisor's to know: the server names a kind of its settings. */
const serviceSpecSchema = z.strictObject({
  id: sandboxIdSchema,
  channelDir: z.string().max(MAX_PATH_CHARACTERS),
  kind: serviceKindSchema,
  volume: volumeIdSchema,
  isolation: z.enum(isolationTiers),
  memoryBytes: upTo('serviceMemoryBytes'),
});

/** The first message of each side. */
export const greetingSchema = z.strictObject({ protocol: z.literal(PROTOCOL_VERSION) });
export const greeting: z.infer<typeof greetingSchema> = { protocol: PROTOCOL_VERSION };

const call = callNumber;
const id = sandboxIdSchema;

/** What the server asks. `cancel` aborts the `create` or `startService` with that number; it has no answer of its own. */
export const requestSchema = z.discriminatedUnion('verb', [
  z.strictObject({ call, verb: z.literal('facts') }),
  z.strictObject({ call, verb: z.literal('refresh') }),
  z.strictObject({ call, verb: z.literal('create'), spec: specSchema }),
  z.strictObject({ call, verb: z.literal('startService'), service: serviceSpecSchema }),
  z.strictObject({ call, verb: z.literal('removeVolume'), volume: volumeIdSchema }),
  z.strictObject({ call, verb: z.literal('volumeSizes') }),
  z.strictObject({ call, verb: z.literal('cancel') }),
  z.strictObject({ call, verb: z.literal('update'), id, limits: sandboxLimitsSchema }),
  z.strictObject({ call, verb: z.literal('freeze'), id }),
  z.strictObject({ call, verb: z.literal('thaw'), id }),
  z.strictObject({ call, verb: z.literal('usage'), id }),
  z.strictObject({ call, verb: z.literal('locate'), id }),
  z.strictObject({ call, verb: z.literal('destroy'), id }),
  z.strictObject({ call, verb: z.literal('recover') }),
  z.strictObject({ call, verb: z.literal('close') }),
]);
export type Request = z.infer<typeof requestSchema>;
export type Verb = Exclude<Request['verb'], 'cancel'>;

const gapsSchema = z.array(z.tuple([z.enum(isolations), z.string()])).transform((pairs) => new Map(pairs));
const runtimeSchema = z
  .object({
    name: text,
    hasOwnKernel: z.boolean(),
    gaps: gapsSchema,
    fixedLimits: z.array(sandboxLimitsSchema.keyof()),
    canFreeze: z.boolean(),
  })
  .nullable();

export const factsSchema = z.object({
  driver: z.enum(driverNames),
  isUsable: z.boolean(),
  reason: z.string().nullable(),
  gaps: gapsSchema,
  cgroupVersion: z.union([z.literal(1), z.literal(2)]).nullable(),
  runtimes: z.object({ standard: runtimeSchema, hardened: runtimeSchema }),
  nodeVersions: z.array(text),
});

/** As the server reads them: a map is a list of pairs on the line. */
export function factsMessage(facts: DriverFacts): z.input<typeof factsSchema> {
  const { standard, hardened } = facts.runtimes;
  return {
    ...facts,
    gaps: [...facts.gaps],
    runtimes: { standard: runtimeMessage(standard), hardened: runtimeMessage(hardened) },
    nodeVersions: [...facts.nodeVersions],
  };
}

function runtimeMessage(runtime: RuntimeFacts | null): z.input<typeof runtimeSchema> {
  if (runtime === null) return null;
  const { gaps, fixedLimits, ...rest } = runtime;
  return { ...rest, gaps: [...gaps], fixedLimits: [...fixedLimits] };
}

const usageSchema = z
  .object({
    cpuMicros: count,
    memoryBytes: count,
    pids: count,
    mainThread: z.enum(['running', 'sleeping', 'stopped', 'gone']),
    mainThreadMicros: count.nullable(),
    starvedMicros: count,
  })
  .nullable();

const framesSchema = z
  .array(z.object({ functionName: text, file: text, line: z.number(), column: z.number() }))
  .max(MAX_FRAMES);

const nothing = z.null().transform(() => undefined);

/** The value of an answer, by the verb that was asked. */
export const resultSchemas = {
  facts: factsSchema,
  refresh: factsSchema,
  create: nothing,
  startService: nothing,
  removeVolume: nothing,
  volumeSizes: z.array(z.strictObject({ volume: volumeIdSchema, bytes: count })),
  update: nothing,
  freeze: nothing,
  thaw: nothing,
  usage: usageSchema,
  locate: framesSchema,
  destroy: nothing,
  recover: z.array(sandboxIdSchema),
  close: nothing,
} as const satisfies Record<Verb, z.ZodType>;
export type Result<V extends Verb> = z.infer<(typeof resultSchemas)[V]>;

const codes = Object.keys(errorDefinitions) as [ErrorCode, ...ErrorCode[]];
const failureSchema = z.strictObject({ code: z.enum(codes).nullable(), message: text });
export type Failure = z.infer<typeof failureSchema>;

const exitSchema = z.strictObject({
  id: sandboxIdSchema,
  code: z.int().nullable(),
  signal: z.string().max(32).nullable(),
  outOfMemory: z.boolean(),
  stderrTail: text,
});

/** What the supervisor says: the answer to a call, or that a sandbox has ended. */
export const replySchema = z.union([
  z.strictObject({ call, value: z.unknown() }),
  z.strictObject({ call, failure: failureSchema }),
  z.strictObject({ exit: exitSchema }),
]);
export type Reply = z.infer<typeof replySchema>;

/** Fits any message, and cuts what a failure of the host may say at length. */
export function failureOf(error: unknown, code: ErrorCode | null): Failure {
  const said = error instanceof Error ? error.message : String(error);
  return { code, message: said.slice(0, MAX_TEXT_CHARACTERS) };
}
