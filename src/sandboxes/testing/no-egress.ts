/** A way out that nobody takes. */
import type { EgressBroker } from '../egress/egress.ts';

export const noEgress: Pick<EgressBroker, 'forSandbox' | 'recheck'> = {
  forSandbox: () => {
    throw new Error('no egress was expected here');
  },
  recheck: () => undefined,
};
