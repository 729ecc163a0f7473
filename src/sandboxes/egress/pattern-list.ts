/** Patterns of contracts/egress.ts, ready to be asked. */
import { BlockList } from 'node:net';
import { type EgressPattern, parseEgressPattern } from '../../contracts/egress.ts';
import { type IpAddress, parseAddress } from '../../kernel/ip-address.ts';

/** A pattern that fits, and whether it names the very port. */
export interface Match {
  readonly namesPort: boolean;
}

interface Rule {
  readonly port: number | null;
  readonly fits: (target: string | IpAddress) => boolean;
}

export class PatternList {
  readonly #names: Rule[] = [];
  readonly #wildcards: Rule[] = [];
  readonly #addresses: Rule[] = [];
  readonly #public: Rule[] = [];

  /** @throws RangeError for a text that is no pattern */
  constructor(texts: readonly string[]) {
    for (const text of texts) {
      const pattern = parseEgressPattern(text);
      if (pattern === null) throw new RangeError(`not a pattern of egress: ${text}`);
      this.#add(pattern);
    }
  }

  /** @param port null: any that a pattern has */
  exactName(name: string, port: number | null): Match | null {
    return find(this.#names, name, port);
  }

  name(name: string, port: number | null): Match | null {
    return this.exactName(name, port) ?? find(this.#wildcards, name, port);
  }

  address(address: IpAddress, port: number | null): Match | null {
    return find(this.#addresses, address, port);
  }

  publicAddresses(port: number | null): Match | null {
    return find(this.#public, '', port);
  }

  #add({ host, port }: EgressPattern): void {
    switch (host.kind) {
      case 'public':
        return void this.#public.push({ port, fits: () => true });
      case 'name':
        return void this.#names.push({ port, fits: (target) => target === host.name });
      case 'below': {
        const end = `.${host.suffix}`;
        return void this.#wildcards.push({
          port,
          fits: (target) => typeof target === 'string' && target.endsWith(end),
        });
      }
      case 'addresses':
        return void this.#addresses.push({ port, fits: rangeOf(host) });
    }
  }
}

function rangeOf(host: EgressPattern['host'] & { kind: 'addresses' }): Rule['fits'] {
  const start = parseAddress(host.address);
  // A mapped IPv4 address is compared as the IPv4 address that it is; a range of them, as written.
  const isPlain = start !== null && start.family === host.family;
  const list = new BlockList();
  if (isPlain) list.addSubnet(host.address, host.prefixBits, host.family === 4 ? 'ipv4' : 'ipv6');
  else if (start !== null && host.prefixBits === 128) list.addAddress(start.address, 'ipv4');
  return (target) =>
    typeof target !== 'string' && list.check(target.address, target.family === 4 ? 'ipv4' : 'ipv6');
}

function find(rules: readonly Rule[], target: string | IpAddress, port: number | null): Match | null {
  let found: Match | null = null;
  for (const rule of rules) {
    if ((port !== null && rule.port !== null && rule.port !== port) || !rule.fits(target)) continue;
    if (rule.port !== null) return { namesPort: true };
    found = { namesPort: false };
  }
  return found;
}
