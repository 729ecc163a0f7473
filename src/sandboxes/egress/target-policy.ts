/**
 * Whether a tenant may connect to an address. Asked for the very address that is connected to, whatever name led there:
 * a name that resolves to a private address opens nothing (hostile case 23).
 *
 *   1. The operator's deny list wins over everything.
 *   2. The tenant's policy must allow the target: by a pattern of its name, of its address, or as `public`.
 *   3. An address that is not public must be named: by its address in the tenant's patterns, or in the operator's allow
 *      list by its address or its exact name. A name in the tenant's patterns opens public addresses only: who owns the
 *      name says where it leads.
 *   4. Port 25 (mail relay) must be named, in a pattern with `:25`.
 */
import type { EgressPolicy } from '../../contracts/egress.ts';
import { type IpAddress, kindOfAddress } from '../../kernel/ip-address.ts';
import { type Match, PatternList } from './pattern-list.ts';

export interface OperatorLists {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

export interface Target {
  /** Names that led to the address: the one asked for, or those looked up before. Small letters. */
  readonly names: readonly string[];
  readonly address: IpAddress;
  /** null: is there any port that would be allowed? */
  readonly port: number | null;
}

const MAIL_PORT = 25;
const NONE = new PatternList([]);
const PUBLIC = new PatternList(['public']);

export class TargetPolicy {
  readonly #allow: PatternList;
  readonly #deny: PatternList;
  readonly #isOwnAddress: (address: string) => boolean;
  /** Policies are replaced, never changed, so the object is its own key. */
  readonly #compiled = new WeakMap<readonly string[], PatternList>();

  /** @param isOwnAddress whether an address belongs to this host itself: what listens there trusts it as a neighbour */
  constructor(lists: OperatorLists, isOwnAddress: (address: string) => boolean) {
    this.#allow = new PatternList(lists.allow);
    this.#deny = new PatternList(lists.deny);
    this.#isOwnAddress = isOwnAddress;
  }

  /** Before anything is asked of the DNS. @returns why the name is refused whatever its addresses are, or null */
  refusalOfName(policy: EgressPolicy, name: string, port: number | null): string | null {
    if (this.#deny.name(name, port) !== null) return 'it is on the deny list of the operator';
    const list = this.#listOf(policy);
    const isAllowed = list.name(name, port) ?? list.publicAddresses(port);
    return isAllowed === null ? notAllowed(policy) : null;
  }

  /** @returns why the address is refused, or null */
  refusal(policy: EgressPolicy, target: Target): string | null {
    const { names, address, port } = target;
    const isDenied =
      this.#deny.address(address, port) ?? firstOf(names, (name) => this.#deny.name(name, port));
    if (isDenied !== null) return 'it is on the deny list of the operator';
    const list = this.#listOf(policy);
    const named = list.address(address, port);
    const wide = firstOf(names, (name) => list.name(name, port)) ?? list.publicAddresses(port);
    if (named === null && wide === null) return notAllowed(policy);
    const granted =
      this.#allow.address(address, port) ?? firstOf(names, (name) => this.#allow.exactName(name, port));
    if (named === null && granted === null) {
      const kind = this.#kindOf(address.address);
      if (kind !== 'public') return `it is a ${kind} address`;
    }
    const mayMail = [named, wide, granted].some((match) => match?.namesPort === true);
    return port === MAIL_PORT && !mayMail ? 'port 25 is not open' : null;
  }

  #kindOf(address: string): string {
    const kind = kindOfAddress(address);
    return kind === 'public' && this.#isOwnAddress(address) ? 'host’s own' : kind;
  }

  #listOf(policy: EgressPolicy): PatternList {
    if (policy === 'none') return NONE;
    if (policy === 'public') return PUBLIC;
    let list = this.#compiled.get(policy);
    if (list === undefined) {
      list = new PatternList(policy);
      this.#compiled.set(policy, list);
    }
    return list;
  }
}

function firstOf(names: readonly string[], ask: (name: string) => Match | null): Match | null {
  for (const name of names) {
    const match = ask(name);
    if (match !== null) return match;
  }
  return null;
}

function notAllowed(policy: EgressPolicy): string {
  if (typeof policy === 'string') return `the policy of the tenant is ${policy}`;
  return 'the policy of the tenant does not name it';
}
