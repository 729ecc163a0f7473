/** What a Lambda function returns, as a response: API Gateway's structured result, or any value as JSON. */
import http from 'node:http';
import type { Exchange } from '../exchange.ts';
import { ResponseInvalid } from '../response-writer.ts';
import { isConnectionHeader } from './header-names.ts';

interface StructuredResult {
  readonly statusCode: unknown;
  readonly headers?: Record<string, unknown>;
  readonly multiValueHeaders?: Record<string, unknown>;
  readonly cookies?: unknown;
  readonly body?: unknown;
  readonly isBase64Encoded?: unknown;
}

/** @throws ResponseInvalid */
export function answerLambda(exchange: Exchange, result: unknown): void {
  if (isStructured(result)) return answerStructured(exchange, result);
  const text = typeof result === 'string' ? result : JSON.stringify(result ?? null);
  exchange.respond(200, ['content-type', 'application/json'], Buffer.from(text ?? 'null'));
}

function isStructured(value: unknown): value is StructuredResult {
  return typeof value === 'object' && value !== null && 'statusCode' in value;
}

function answerStructured(exchange: Exchange, result: StructuredResult): void {
  const headers: string[] = [];
  for (const [name, values] of Object.entries(result.multiValueHeaders ?? {})) add(headers, name, values);
  for (const [name, value] of Object.entries(result.headers ?? {})) {
    if (!has(headers, name)) add(headers, name, value);
  }
  if (Array.isArray(result.cookies)) add(headers, 'set-cookie', result.cookies);
  if (!has(headers, 'content-type')) headers.push('content-type', 'application/json');
  exchange.respond(Number(result.statusCode), headers, bodyOf(result));
}

function bodyOf({ body, isBase64Encoded }: StructuredResult): Uint8Array {
  if (body === undefined || body === null) return Buffer.alloc(0);
  if (body instanceof Uint8Array) return body;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return Buffer.from(text ?? '', isBase64Encoded === true ? 'base64' : 'utf8');
}

function add(headers: string[], name: string, values: unknown): void {
  for (const value of Array.isArray(values) ? (values as unknown[]) : [values]) {
    if (value === undefined || value === null || isConnectionHeader(name)) continue;
    const text = String(value);
    try {
      http.validateHeaderName(name);
      http.validateHeaderValue(name, text);
    } catch (error) {
      throw new ResponseInvalid((error as Error).message);
    }
    headers.push(name, text);
  }
}

function has(headers: readonly string[], name: string): boolean {
  return headers.some((text, index) => index % 2 === 0 && text.toLowerCase() === name.toLowerCase());
}
