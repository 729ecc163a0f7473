/** Errors as webtask's clients read them (webtask contract, 1.2 and 3.5). */
import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { BerthError } from '../contracts/errors.ts';
import type { WriteError } from '../invoke/invoker.ts';

const RETRY_AFTER_SECONDS = '1';

export interface ManagementError {
  readonly statusCode: number;
  readonly error: string;
  /** never empty: clients print it */
  readonly message: string;
  readonly code: string;
}

/** Of management calls. */
export function managementError(error: BerthError): ManagementError {
  const { status } = error.definition;
  return { statusCode: status, error: titleOf(status), message: error.message, code: error.code };
}

/** Of runs. `message` of a blocked event loop is what Auth0's rule runner looks for. */
export const writeRunError: WriteError = (response, error, invocation) => {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, ...rest } = runError(error);
  const body = JSON.stringify({ code: status, ...rest }, null, 2);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    ...(invocation === '' ? {} : { 'x-berth-invocation': invocation }),
    ...(error.definition.status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(error.definition.retry ? { 'retry-after': RETRY_AFTER_SECONDS } : {}),
  });
  response.end(body);
};

interface RunError {
  readonly status: number;
  readonly error: string;
  readonly details: string;
  readonly message: string;
  /** the platform's own code */
  readonly reason: string;
}

function runError(error: BerthError): RunError {
  const { code, message: details } = error;
  const { status } = error.definition;
  if (code === 'EVENT_LOOP_BLOCKED')
    return { status, error: titleOf(status), details, message: 'Blocked event loop.', reason: code };
  if (code === 'FORM_UNKNOWN') {
    const text = 'Supplied code must return or export a function.';
    const unable = `Unable to compile submitted JavaScript. Error: ${text}`;
    return { status: 400, error: text, details: unable, message: 'Invalid webtask code', reason: code };
  }
  if (code === 'LOAD_FAILED' || code === 'CODE_INVALID')
    return {
      status: 400,
      error: `Unable to compile submitted JavaScript: ${String(error.facts['reason'] ?? '')}`,
      details,
      message: 'Invalid webtask code',
      reason: code,
    };
  return { status, error: titleOf(status), details, message: details, reason: code };
}

function titleOf(status: number): string {
  return STATUS_CODES[status] ?? 'Error';
}

/** Writes a failure that comes before there is an invocation. */
export function writeEarlyError(response: ServerResponse, error: BerthError): void {
  writeRunError(response, error, '');
}
