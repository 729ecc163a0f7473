/** A request as AWS API Gateway gives it to a Lambda function: HTTP API, payload format 2.0. */
import type { RequestHead } from '../../contracts/frames.ts';
import type { Program } from '../program.ts';
import { headersObject } from './header-names.ts';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** The types whose bodies API Gateway passes as text; all others are base64. */
const TEXT_TYPE = /^(?:text\/|application\/(?:json|javascript|xml)\b|[^;]*\+(?:json|xml)\b)/i;

export function lambdaEvent(head: RequestHead, body: Buffer, program: Program): Record<string, unknown> {
  const headers = headersObject(head.headers);
  const [path, query] = splitUrl(head.url);
  const now = new Date();
  const cookies = headers.cookie?.split('; ');
  const isText = TEXT_TYPE.test(headers['content-type'] ?? 'text/plain');
  const parameters = queryParameters(query);
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    ...(cookies === undefined ? {} : { cookies }),
    headers,
    ...(parameters === null ? {} : { queryStringParameters: parameters }),
    requestContext: {
      accountId: program.spec.tenant,
      apiId: program.spec.fn,
      domainName: headers.host ?? '',
      domainPrefix: (headers.host ?? '').split('.', 1)[0],
      http: {
        method: head.method,
        path,
        protocol: 'HTTP/1.1',
        sourceIp: head.remoteAddress,
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: head.invocation,
      routeKey: '$default',
      stage: '$default',
      time: logTime(now),
      timeEpoch: now.getTime(),
    },
    ...(body.length === 0 ? {} : { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

function splitUrl(url: string): [path: string, query: string] {
  const mark = url.indexOf('?');
  return mark === -1 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)];
}

/** Values of the same name are joined by commas, as API Gateway does. */
function queryParameters(query: string): Record<string, string> | null {
  if (query === '') return null;
  const parameters: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === '__proto__') continue;
    const before = Object.hasOwn(parameters, name) ? `${parameters[name]},` : '';
    parameters[name] = before + value;
  }
  return parameters;
}

/** `12/Mar/2020:19:03:58 +0000` */
function logTime(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${two(at.getUTCDate())}/${MONTHS[at.getUTCMonth()]}/${at.getUTCFullYear()}`;
  return `${day}:${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())} +0000`;
}

export interface LambdaContext {
  readonly [name: string]: unknown;
}

/** @param finish takes what `done`, `succeed` and `fail` of the context are called with */
export function lambdaContext(
  head: RequestHead,
  program: Program,
  finish: (error: unknown, result?: unknown) => void,
): LambdaContext {
  const { spec } = program;
  const deadline = Date.now() + spec.limits.wallMs;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: spec.fn,
    functionVersion: spec.revision,
    invokedFunctionArn: `arn:aws:lambda:local:${spec.tenant}:function:${spec.fn}`,
    memoryLimitInMB: String(Math.floor(spec.limits.memoryBytes / (1024 * 1024))),
    awsRequestId: head.invocation,
    logGroupName: `/berth/${spec.tenant}/${spec.fn}`,
    logStreamName: spec.revision,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: finish,
    succeed: (result: unknown) => finish(null, result),
    fail: (error: unknown) => finish(error ?? new Error('context.fail was called')),
  };
}
