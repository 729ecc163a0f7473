/** Whether an invocation would succeed now. */
import { withDeadline } from '../kernel/deadline.ts';
import { apiLimits } from './api-limits.ts';
import type { ApiServices } from './services.ts';

type Readiness = Pick<ApiServices, 'store' | 'clock' | 'isReady' | 'isStopping' | 'isSupervised'>;

/** @returns why not, in words that are safe for everybody; empty: ready. Never throws, at most `readyMs`. */
export async function readinessOf(services: Readiness): Promise<readonly string[]> {
  if (services.isStopping()) return ['the platform is stopping'];
  if (!services.isSupervised()) return ['the supervisor is gone'];
  const reasons: string[] = [];
  if (!services.isReady()) reasons.push('no sandbox is ready');
  if (!(await answers(services))) reasons.push('the store does not answer');
  return reasons;
}

async function answers({ store, clock }: Pick<Readiness, 'store' | 'clock'>): Promise<boolean> {
  return withDeadline(clock, apiLimits.readyMs.value, store.ping()).then(
    () => true,
    () => false,
  );
}
