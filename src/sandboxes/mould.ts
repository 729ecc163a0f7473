/** What of a sandbox is settled when it is made, and must fit who claims it. Sandboxes of one mould can replace each other. */
import { BerthError } from '../contracts/errors.ts';
import type { Limits } from '../contracts/limits.ts';
import type { DriverFacts, SandboxKind, SandboxLimits } from '../drivers/driver.ts';
import { heapMbFor, sandboxLimitsOf } from './heap-class.ts';

export interface Mould {
  /** Equal keys: the same mould. */
  readonly key: string;
  readonly kind: SandboxKind;
  readonly heapMb: number;
  readonly limits: SandboxLimits;
  /** Limits that the runtime cannot change later. */
  readonly fixedLimits: readonly (keyof SandboxLimits)[];
}

export class Moulds {
  #facts: DriverFacts;
  /** Of what sandboxes are made: grows when an image is patched. */
  #generation = 1;

  constructor(facts: DriverFacts) {
    this.#facts = facts;
  }

  get facts(): DriverFacts {
    return this.#facts;
  }

  /** Of sandboxes that nobody has asked for yet. */
  get defaultKind(): SandboxKind {
    return { isolation: 'standard', nodeMajor: Number.parseInt(this.#facts.nodeVersions[0]!, 10) };
  }

  of(kind: SandboxKind, limits: Limits): Mould {
    const heapMb = heapMbFor(limits.memoryBytes);
    const own = sandboxLimitsOf(limits);
    const fixedLimits = this.#facts.runtimes[kind.isolation]?.fixedLimits ?? [];
    const fixed = fixedLimits.map((name) => `${name}=${own[name]}`);
    const key = [this.#generation, kind.isolation, kind.nodeMajor, heapMb, ...fixed].join('/');
    return { key, kind, heapMb, limits: own, fixedLimits };
  }

  /**
   * Why no sandbox of this kind can be made here; null when one can. A tenant that was hardened under another driver, or a
   * function whose Node went with an image, gets none rather than another one.
   * @param nodeRange what the function asked for, for the words
   */
  refusal({ isolation, nodeMajor }: SandboxKind, nodeRange: string | null = null): BerthError | null {
    const { runtimes, nodeVersions, driver } = this.#facts;
    if (runtimes[isolation] === null) return new BerthError('ISOLATION_UNAVAILABLE', { isolation, driver });
    if (nodeVersions.some((version) => Number.parseInt(version, 10) === nodeMajor)) return null;
    const range = nodeRange ?? String(nodeMajor);
    return new BerthError('NODE_UNAVAILABLE', { range, versions: nodeVersions.join(', ') });
  }

  /** From now on every mould is another one. */
  renew(facts: DriverFacts): void {
    this.#facts = facts;
    this.#generation += 1;
  }
}

/** The wanted limits, but for those that a live sandbox of this mould keeps. */
export function changeable({ limits, fixedLimits }: Mould, wanted: SandboxLimits): SandboxLimits {
  return { ...wanted, ...Object.fromEntries(fixedLimits.map((name) => [name, limits[name]])) };
}
