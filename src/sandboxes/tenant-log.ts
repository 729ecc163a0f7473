/** What goes into the log of the tenant whose revision a sandbox runs. */
import type { LogLevelName } from '../contracts/frames.ts';
import type { LogRecord } from '../contracts/model.ts';
import type { Runnable } from './sandboxes.ts';
import type { SandboxServices } from './services.ts';

/** Lines of a sandbox that nobody has claimed belong to no tenant: only the operator sees them. */
export class TenantLog {
  readonly #services: Pick<SandboxServices, 'clock' | 'onLog' | 'log'>;
  readonly #sandbox: string;
  #runnable: Runnable | null = null;

  constructor(services: Pick<SandboxServices, 'clock' | 'onLog' | 'log'>, sandbox: string) {
    this.#services = services;
    this.#sandbox = sandbox;
  }

  assign(runnable: Runnable): void {
    this.#runnable = runnable;
  }

  /** A line that the tenant's code wrote. */
  console(invocation: string | null, level: LogLevelName, text: string): void {
    this.#write({ invocation, level, text, source: 'console' });
  }

  /** A stack, or what the code wrote to its standard error before it died. */
  error(text: string): void {
    this.#write({ invocation: null, level: 'error', text, source: 'error' });
  }

  /** What the platform has to say about the sandbox. */
  platform(level: LogLevelName, text: string): void {
    this.#write({ invocation: null, level, text, source: 'platform' });
  }

  dropped(lines: number, bytes: number): void {
    this.platform('warn', `… ${lines} log lines (${bytes} bytes) dropped: limit logBytesPerSecond`);
  }

  #write(entry: Pick<LogRecord, 'invocation' | 'level' | 'text' | 'source'>): void {
    const runnable = this.#runnable;
    const { clock, log, onLog } = this.#services;
    if (runnable === null)
      return log.debug({ sandbox: this.#sandbox, text: entry.text }, 'a blank sandbox says');
    const { tenant, fn, revision } = runnable;
    onLog({ at: clock.now(), tenant, fn, revision, ...entry });
  }
}
