/** The two ways to deploy: JSON that holds the code, or the code as the body and its settings in the query. */
import { z } from 'zod';
import { BerthError } from '../contracts/errors.ts';
import { formSchema } from '../contracts/forms.ts';
import type { DeployRequest } from '../control/control.ts';
import { given } from './given.ts';
import type { RawBody } from './route.ts';
import { accessSchema, filenameSchema, moduleKindSchema, stringMap } from './schemas.ts';

const settings = {
  filename: filenameSchema.optional(),
  form: formSchema.optional(),
  moduleKind: moduleKindSchema.optional(),
  access: accessSchema.optional(),
  nodeRange: z
    .string()
    .max(256)
    .optional()
    .describe('`engines.node` of the package.json; the function runs on a Node that satisfies it'),
};
export const deployQuery = z.strictObject(settings);
export const deployBody = z
  .strictObject({
    ...settings,
    source: z.string().optional().describe('the code, as text'),
    sourceBase64: z
      .string()
      .refine((text) => !/[^A-Za-z0-9+/=]/.test(text), 'it is not base64')
      .optional()
      .describe('the code in base64, instead of source'),
    sourceMap: z.string().optional().describe("a bundle's own source map, as JSON text"),
    entry: filenameSchema
      .optional()
      .describe(
        'of a bundle: the file that it was made from, such as index.ts; it is shown, and tells the language',
      ),
    env: stringMap.optional().describe('replaces the variables; left out: they stay'),
    meta: stringMap.optional().describe('replaces the metadata; left out: it stays'),
    secrets: stringMap.optional().describe('replaces all secrets; left out: they stay'),
  })
  .refine((body) => (body.source === undefined) !== (body.sourceBase64 === undefined), {
    message: 'give either source or sourceBase64',
  });

const TYPESCRIPT = new Set(['application/typescript', 'text/typescript', 'application/x-typescript']);

type Deploy = Omit<DeployRequest, 'tenant' | 'fn'>;

/** @throws BerthError BAD_REQUEST when the text is not Unicode */
export function deployRequestOf(
  query: z.output<typeof deployQuery>,
  body: RawBody | z.output<typeof deployBody>,
): Deploy {
  return 'bytes' in body ? fromCode(query, body) : fromJson({ ...query, ...body });
}

function fromCode(query: z.output<typeof deployQuery>, { bytes, mediaType }: RawBody): Deploy {
  const { access, filename = TYPESCRIPT.has(mediaType) ? 'index.ts' : undefined, ...rest } = query;
  return { source: bytes, settings: given({ access }), ...given({ filename, ...rest }) };
}

function fromJson(body: z.output<typeof deployBody>): Deploy {
  const { source, sourceBase64 = '', sourceMap, access, env, meta, secrets, ...rest } = body;
  return {
    ...given(rest),
    source: source === undefined ? Buffer.from(sourceBase64, 'base64') : bytesOf(source, 'source'),
    ...(sourceMap === undefined ? {} : { sourceMap: bytesOf(sourceMap, 'sourceMap') }),
    settings: given({ access, env, meta, secrets }),
  };
}

function bytesOf(text: string, field: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  throw new BerthError('BAD_REQUEST', { reason: `body.${field}: it is not valid Unicode` });
}
