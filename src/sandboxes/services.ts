/** What sandboxes need from outside, handed in once. */
import type { Socket } from 'node:net';
import type { FunctionName, SandboxId, TenantId } from '../contracts/ids.ts';
import type { Limits } from '../contracts/limits.ts';
import type { LogRecord } from '../contracts/model.ts';
import type { Driver } from '../drivers/driver.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Channel, ChannelEvents } from './channel/channel.ts';
import type { Listen } from '../drivers/channel-listener.ts';
import type { EgressBroker, SandboxEgress } from './egress/egress.ts';
import type { EndReason } from './verdict.ts';

/** The platform's own log, as pino has it. */
export interface PlatformLog {
  debug(facts: object, text: string): void;
  info(facts: object, text: string): void;
  warn(facts: object, text: string): void;
  error(facts: object, text: string): void;
}

export interface OpenChannelOptions {
  readonly socket: Socket;
  readonly events: ChannelEvents;
  readonly logBytesPerSecond: number;
  /** What the sandbox may do outside; asked once, after Load. */
  readonly egress: () => SandboxEgress;
  /** milliseconds, monotonic */
  readonly now: () => number;
}

/** For metrics. */
export type SandboxEvent =
  | { readonly kind: 'started'; readonly ms: number }
  | { readonly kind: 'start-failed' }
  | {
      readonly kind: 'claimed';
      readonly tenant: TenantId;
      readonly fn: FunctionName;
      readonly wasBlank: boolean;
    }
  /** From the first request that had to wait to a revision that has loaded. */
  | { readonly kind: 'cold-start'; readonly tenant: TenantId; readonly fn: FunctionName; readonly ms: number }
  /** What V8 of a sandbox did with the bytecode that it was sent; says the sandbox, so it is for counting only. */
  | { readonly kind: 'bytecode'; readonly outcome: 'taken' | 'refused' }
  | { readonly kind: 'queue-wait'; readonly tenant: TenantId; readonly ms: number }
  | { readonly kind: 'ended'; readonly tenant: TenantId | null; readonly reason: EndReason };

export interface PoolSettings {
  /** blank sandboxes that are always kept */
  readonly minBlank: number;
  /** blank sandboxes kept after a burst of claims */
  readonly maxBlank: number;
  /** sandboxes that start at the same time for requests that wait */
  readonly startConcurrency: number;
}

export interface SandboxServices {
  readonly driver: Driver;
  readonly clock: Clock;
  /** Directory for the sandboxes' own directories; exists, belongs to the platform alone. */
  readonly runDir: string;
  readonly listen: Listen;
  readonly openChannel: (options: OpenChannelOptions) => Channel;
  readonly newId: () => SandboxId;
  /** The way out of all sandboxes. */
  readonly egress: Pick<EgressBroker, 'forSandbox' | 'recheck'>;
  /** Tenants' log records. Must not throw. */
  readonly onLog: (record: LogRecord) => void;
  readonly onEvent: (event: SandboxEvent) => void;
  readonly log: PlatformLog;
  /** The limits of sandboxes that nobody has claimed yet. */
  readonly defaultLimits: () => Limits;
}
