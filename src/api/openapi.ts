/** OpenAPI 3.1, made from the route table and its schemas. */
import { z } from 'zod';
import { type ErrorCode, errorDefinitions } from '../contracts/errors.ts';
import type { Answers, Route } from './route.ts';
import { namedSchemas } from './views.ts';

type Json = Readonly<Record<string, unknown>>;

const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number(),
    code: z.enum(Object.keys(errorDefinitions) as ErrorCode[]),
    detail: z.string(),
    wayOut: z.string(),
  })
  .loose();

export function openapiOf(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) (paths[pathOf(route)] ??= {})[route.method.toLowerCase()] = operationOf(route);
  return {
    openapi: '3.1.0',
    info: { title: 'Berth', version, description: 'The native control API. Errors are RFC 9457 problems.' },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: components(),
    },
  };
}

/** `/v1/tenants/{tenant}`, OpenAPI's way to write a path. */
export function pathOf({ path }: Pick<Route, 'path'>): string {
  return path.replace(/:(\w+)/g, '{$1}');
}

function operationOf(route: Route): Json {
  return {
    operationId: route.name,
    summary: route.summary,
    'x-scope': route.scope,
    ...(route.scope === 'open' ? { security: [] } : {}),
    parameters: [...parametersOf(route.params, 'path'), ...parametersOf(route.query, 'query')],
    ...(route.body === null ? {} : { requestBody: requestBodyOf(route, route.body) }),
    responses: {
      ...responsesOf(route.answers),
      default: {
        description: 'A problem.',
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    },
  };
}

function parametersOf(schema: z.ZodObject, place: 'path' | 'query'): readonly Json[] {
  return Object.entries(schema.shape).map(([name, field]) => {
    const type = field as z.ZodType;
    const { description, ...described } = jsonSchema(type, 'input');
    const isRequired = place === 'path' || !type.safeParse(undefined).success;
    return {
      name,
      in: place,
      required: isRequired,
      ...(description === undefined ? {} : { description }),
      schema: described,
    };
  });
}

function requestBodyOf(route: Route, body: z.ZodType): Json {
  const code = { schema: { type: 'string', format: 'binary' } };
  return {
    required: true,
    content: {
      'application/json': { schema: jsonSchema(body, 'input') },
      ...(route.takesCode
        ? { 'application/javascript': code, 'application/typescript': code, 'application/octet-stream': code }
        : {}),
    },
  };
}

function responsesOf(answers: Answers): Json {
  switch (answers.kind) {
    case 'json': {
      const content = { 'application/json': { schema: jsonSchema(answers.schema, 'output') } };
      return { [answers.status]: { description: 'Done.', content } };
    }
    case 'text': {
      const mediaType = answers.mediaType.split(';', 1)[0]!;
      return { 200: { description: 'Done.', content: { [mediaType]: { schema: { type: 'string' } } } } };
    }
    case 'events':
      return {
        200: { description: 'A stream.', content: { 'text/event-stream': { schema: { type: 'string' } } } },
      };
    case 'nothing':
      return { 204: { description: 'Done.' } };
  }
}

function components(): Json {
  const { schemas } = z.toJSONSchema(namedSchemas, { uri: (id) => `#/components/schemas/${id}` });
  const named = Object.entries(schemas).map(([id, schema]) => [id, withoutHeader(schema as Json)] as const);
  return { ...Object.fromEntries(named), Problem: jsonSchema(problemSchema, 'output') };
}

/** Named schemas become references to the components. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const made = z.toJSONSchema(schema, { io, metadata: namedSchemas, unrepresentable: 'any' });
  return withoutHeader(pointToComponents(made) as Json);
}

function withoutHeader({ $schema: _dialect, $id: _id, $defs: _definitions, id: _name, ...rest }: Json): Json {
  return rest;
}

function pointToComponents(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pointToComponents);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string'
        ? inner.replace('#/$defs/', '#/components/schemas/')
        : pointToComponents(inner),
    ]),
  );
}
