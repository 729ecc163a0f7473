/** Whom a sandbox tells of the turns of its life. */
import type { Loaded } from '../contracts/frames.ts';
import type { Sandbox } from './sandbox.ts';
import type { Ending } from './verdict.ts';

export type LoadedWell = Extract<Loaded, { ok: true }>;

/** Who keeps the sandbox: told of each turn of its life. */
export interface SandboxKeeper {
  /** It is blank, to be claimed. */
  offered(sandbox: Sandbox): void;
  /** A place was taken in it. */
  leased(sandbox: Sandbox): void;
  /** A place became free in it. */
  freed(sandbox: Sandbox): void;
  loaded(sandbox: Sandbox, what: LoadedWell): void;
  ponged(sandbox: Sandbox, nonce: number): void;
  /** Some of its invocations were cancelled and have not ended. */
  stranded(sandbox: Sandbox): void;
  /** It takes no new work. */
  withdrawn(sandbox: Sandbox): void;
  /** It is gone; its invocations have failed. What is left of it on the host is to be removed. */
  ended(sandbox: Sandbox, ending: Ending): void;
}

/** For whom the sandbox runs, once it is claimed. */
export interface Claimant {
  serve(): void;
  loaded(sandbox: Sandbox): void;
  withdrawn(sandbox: Sandbox): void;
  ended(sandbox: Sandbox, ending: Ending): void;
  readonly share: { relieve(): void };
}
