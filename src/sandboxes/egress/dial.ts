/** Connects to addresses that the policy has allowed, and to nothing else: the name is not resolved a second time. */
import net, { type LookupFunction, type Socket } from 'node:net';
import type { IpAddress } from '../../kernel/ip-address.ts';
import { EgressError } from './egress.ts';

export interface DialOptions {
  /** At least one. Tried in this order, the families in turn (RFC 8305). */
  readonly addresses: readonly IpAddress[];
  readonly port: number;
  readonly signal: AbortSignal;
}

/** Keeps connections that wait alive through NAT on the way, and finds out when the other side is gone. */
const KEEP_ALIVE_MS = 60_000;
/** Never looked up: `lookup` answers for it. */
const PLACEHOLDER = 'checked.invalid';

/** @throws EgressError with the code of the last attempt */
export function dial({ addresses, port, signal }: DialOptions): Promise<Socket> {
  const lookup: LookupFunction = (_host, _options, callback) => {
    callback(
      null,
      [...addresses].map(({ address, family }) => ({ address, family })),
    );
  };
  const [only] = addresses;
  const target =
    addresses.length === 1 && only !== undefined
      ? { host: only.address }
      : { host: PLACEHOLDER, lookup, autoSelectFamily: true };
  return new Promise((resolve, reject) => {
    const socket = net.connect({
      ...target,
      port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    // Not `signal` of Node's own: that one would end the connection whenever it fires later.
    const onAbort = (): void => void socket.destroy();
    const onError = (error: unknown): void => reject(dialError(error, addresses, port));
    const onClose = (): void => reject(new EgressError('ECANCELED', 'it was given up'));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError).once('close', onClose);
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError).off('close', onClose);
      resolve(socket);
    });
    if (signal.aborted) onAbort();
  });
}

function dialError(error: unknown, [first]: readonly IpAddress[], port: number): EgressError {
  const { code = 'ECONNREFUSED' } = lastOf(error) as NodeJS.ErrnoException;
  const where = `${first?.address ?? ''}:${port}`;
  return new EgressError(code, `no connection to ${where}`, { cause: error });
}

/** Several attempts fail as one. */
function lastOf(error: unknown): unknown {
  return error instanceof AggregateError ? (error.errors.at(-1) ?? error) : error;
}
