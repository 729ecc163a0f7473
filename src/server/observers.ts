/** What sandboxes and exchanges tell, on its way to metrics, tenants' logs and the platform's own log. */
import type { InvokerHooks } from '../invoke/invoker-context.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Logs } from '../logs/logs.ts';
import type { PlatformLog, SandboxEvent } from '../sandboxes/services.ts';
import type { ServiceEvent } from '../services/services.ts';
import type { Metrics } from '../telemetry/metrics.ts';

const INTERNAL_SERVER_ERROR = 500;

export interface ObserverParts {
  readonly metrics: Metrics;
  readonly logs: Logs;
  readonly log: PlatformLog;
  readonly clock: Clock;
  /** Write a line for each request. */
  readonly isAccessLogged: boolean;
}

export function sandboxObserver(metrics: Metrics): (event: SandboxEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'started':
        return metrics.sandboxStarted(event.ms);
      case 'start-failed':
        return metrics.sandboxStartFailed();
      case 'cold-start':
        return metrics.coldStart(event.ms);
      case 'bytecode':
        return metrics.bytecodeLoaded(event.outcome);
      case 'queue-wait':
        return metrics.queueWait(event.ms);
      case 'ended':
        return metrics.sandboxEnded(event.reason);
      case 'claimed':
        return undefined;
    }
  };
}

export function serviceObserver(metrics: Metrics): (event: ServiceEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'started':
        return metrics.serviceStarted(event.ms);
      case 'start-failed':
        return metrics.serviceStartFailed();
      case 'ended':
        return metrics.serviceEnded();
      case 'paused':
        return metrics.servicePaused();
    }
  };
}

export function invokerHooks({ metrics, logs, log, clock, isAccessLogged }: ObserverParts): InvokerHooks {
  return {
    onEnd(exchange) {
      const ms = clock.monotonic() - exchange.startedAt;
      metrics.invocationEnded(exchange.error?.code ?? 'ok', ms);
      const { fault, status: refusedWith = 0 } = exchange.error?.definition ?? {};
      // What the operator refuses (a suspended tenant) is no failure of ours.
      if (fault === 'platform' && refusedWith >= INTERNAL_SERVER_ERROR)
        log.error(
          { err: exchange.error, invocation: exchange.invocation },
          'an invocation failed by our fault',
        );
      if (!isAccessLogged) return;
      const { tenant, fn } = exchange.runnable;
      const { invocation, status, requestBytes, responseBytes } = exchange;
      log.info({ tenant, fn, invocation, status, requestBytes, responseBytes, ms }, 'request');
    },
    onFailure({ runnable, invocation, error, times }) {
      logs.publish({
        at: clock.now(),
        tenant: runnable.tenant,
        fn: runnable.fn,
        revision: runnable.revision,
        invocation,
        source: 'platform',
        level: 'error',
        text: `${error.code}: ${error.message}${times > 1 ? ` (${times} times)` : ''}`,
      });
    },
  };
}
