/**
 * The socket on which clients call, bound by the supervisor and handed to each server, which listens on it. The supervisor
 * never listens on it and never reads from it: it only keeps it open, so that between two servers connections wait in the
 * kernel's queue instead of being refused (docs/adr/0007-public-socket.md).
 */
import { BoundSocket } from 'node:net';
import { ConfigError } from '../config/config-error.ts';
import type { Config } from '../config/settings.ts';

type Place = Pick<Config, 'host' | 'port'>;

const LOCALHOST = '127.0.0.1';

export class PublicSocket {
  readonly #bound: BoundSocket;
  #isOpen = true;

  /** @throws ConfigError when the port is taken or not to be had */
  constructor(place: Place) {
    const { host, port } = place;
    try {
      this.#bound = new BoundSocket({ host: host === 'localhost' ? LOCALHOST : host, port });
    } catch (error) {
      throw listenProblem(error as NodeJS.ErrnoException, place);
    }
  }

  /** Its descriptor in this process. */
  get fd(): number {
    return this.#bound.fd();
  }

  /** Where it is; `port` is a real one. */
  get address(): { readonly address: string; readonly port: number } {
    return this.#bound.address();
  }

  /** From now on it is the server's alone: when that one closes it, connections are refused. Idempotent. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#bound.close();
  }
}

/** Why nobody can listen there, in words. */
export function listenProblem(error: NodeJS.ErrnoException, { host, port }: Place): ConfigError {
  const what = `cannot listen on ${host}:${port} (${error.code ?? error.message})`;
  return new ConfigError([{ where: 'port', what, wayOut: wayOutOf(error) }], { cause: error });
}

function wayOutOf({ code }: NodeJS.ErrnoException): string {
  return code === 'EACCES'
    ? 'This user may not: start it as root, choose a port from 1024 on by PORT, or allow lower ones by sysctl net.ipv4.ip_unprivileged_port_start.'
    : 'Stop what listens there, or choose another by PORT or HOST.';
}
