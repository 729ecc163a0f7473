/** The claims that clients send to `POST /api/tokens/issue`, and the body of `PUT /api/webtask/:container/:name`. */
import { z } from 'zod';
import { BerthError } from '../contracts/errors.ts';
import { webtaskLimits } from './webtask-limits.ts';

const MAX_NAMES = 1_000;

/** `wt token create` sends numbers as strings. */
const numberLike = z
  .union([z.number(), z.boolean(), z.string().regex(/^\d{1,15}$/)])
  .transform(Number)
  .pipe(z.number().int().nonnegative());

/** Values may be numbers or booleans; code gets to see strings. */
const texts = z
  .record(z.string().min(1).max(256), z.union([z.string(), z.number(), z.boolean()]))
  .refine((record) => Object.keys(record).length <= MAX_NAMES, `at most ${MAX_NAMES} entries`)
  .transform((record) =>
    Object.fromEntries(Object.entries(record).map(([name, value]) => [name, String(value)])),
  );

const MAX_PARAMS_BYTES = webtaskLimits.webtaskParamsBytes.value;
const params = texts.refine(
  (record) => Buffer.byteLength(JSON.stringify(record)) <= MAX_PARAMS_BYTES,
  `at most ${MAX_PARAMS_BYTES} bytes in all`,
);

const maybe = <T extends z.ZodType>(schema: T) =>
  schema
    .nullish()
    .transform((value) => value ?? undefined)
    .optional();

const container = z.union([
  z.string(),
  z
    .array(z.string())
    .min(1)
    .transform((list) => list[0]!),
]);
const parseBody = numberLike.pipe(z.union([z.literal(0), z.literal(1), z.literal(2)]));

/** Rate limits of containers and tokens: kept in the token as they came. */
const rateNames = ['ls', 'lm', 'lh', 'ld', 'lw', 'lo', 'lts', 'ltm', 'lth', 'ltd', 'ltw', 'lto'] as const;
const rates = Object.fromEntries(rateNames.map((name) => [name, maybe(numberLike)])) as Record<
  (typeof rateNames)[number],
  ReturnType<typeof maybe<typeof numberLike>>
>;

/** Unknown claims are ignored (webtask contract, trap 9). */
const claimsSchema = z.object({
  ten: maybe(container),
  jtn: maybe(z.string()),
  jtnm: maybe(z.array(z.string()).max(MAX_NAMES)),
  code: maybe(z.string()),
  url: maybe(z.string().max(4_096)),
  ectx: maybe(z.union([texts, z.string().max(65_536)])),
  pctx: maybe(params),
  meta: maybe(texts),
  pb: maybe(parseBody),
  mb: maybe(numberLike.transform((value) => value !== 0)),
  dd: maybe(numberLike),
  dr: maybe(numberLike),
  nbf: maybe(numberLike),
  exp: maybe(numberLike),
  host: maybe(z.string().max(253)),
  ...rates,
});
export type IssueClaims = z.infer<typeof claimsSchema>;

const webtaskSchema = z.object({
  code: maybe(z.string()),
  url: maybe(z.string().max(4_096)),
  secrets: maybe(texts),
  meta: maybe(texts),
  host: maybe(z.string().max(253)),
});
export type WebtaskBody = z.infer<typeof webtaskSchema>;

/** @throws BerthError BAD_REQUEST */
export function parseClaims(body: unknown): IssueClaims {
  return parse(claimsSchema, body);
}

/** @throws BerthError BAD_REQUEST */
export function parseWebtask(body: unknown): WebtaskBody {
  return parse(webtaskSchema, body);
}

/** The claims that limit rates, as they were asked for. */
export function ratesOf(claims: IssueClaims): Record<string, number> {
  return Object.fromEntries(
    rateNames.flatMap((name) => (claims[name] === undefined ? [] : [[name, claims[name]]])),
  );
}

function parse<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const parsed = schema.safeParse(body ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.map(String).join('.') ?? '';
  throw new BerthError('BAD_REQUEST', {
    reason: `${place === '' ? '' : `${place}: `}${issue?.message ?? ''}`,
  });
}
