/** Errors as Node itself would make them, with the reason of the broker in their message. */
import { constants } from 'node:os';
import type { EgressFailure } from '../../contracts/frames.ts';

const errnos: Readonly<Record<string, number>> = constants.errno;

export function connectError(failure: EgressFailure, host: string, port: number): Error {
  if (failure.code === 'ENOTFOUND' || failure.code === 'EAI_AGAIN')
    return lookupError(failure, 'getaddrinfo', host);
  return systemError(failure, { syscall: 'connect', address: host, port }, `${host}:${port}`);
}

export function readError(failure: EgressFailure): Error {
  return systemError(failure, { syscall: 'read' }, '');
}

export function lookupError(failure: EgressFailure, syscall: string, hostname: string): Error {
  return systemError(failure, { syscall, hostname }, hostname);
}

function systemError(
  { code, reason }: EgressFailure,
  facts: { readonly syscall: string; readonly [name: string]: unknown },
  target: string,
): Error {
  const errno = errnos[code];
  const what = [facts.syscall, code, target].filter((part) => part !== '').join(' ');
  const error = new Error(`${what}: ${reason}`);
  return Object.assign(error, { errno: errno === undefined ? undefined : -errno, code, ...facts, reason });
}
