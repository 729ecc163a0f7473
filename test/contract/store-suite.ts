/** What every store must do. `open` gives a fresh, empty one; the suite closes it. */
import { storeDeploySuite } from './store-deploy-suite.ts';
import type { OpenedStore } from './store-fixtures.ts';
import { storeFunctionSuite } from './store-function-suite.ts';
import { storeKeysSuite } from './store-keys-suite.ts';
import { storeServicesSuite } from './store-services-suite.ts';
import { storeUsageSuite } from './store-usage-suite.ts';

export function storeSuite(name: string, open: () => Promise<OpenedStore>): void {
  storeFunctionSuite(name, open);
  storeDeploySuite(name, open);
  storeKeysSuite(name, open);
  storeUsageSuite(name, open);
  storeServicesSuite(name, open);
}
