/** All routes of the native API. */
import type { Route } from './route.ts';
import { functionRoutes } from './routes/function-routes.ts';
import { keyRoutes } from './routes/key-routes.ts';
import { logRoutes } from './routes/log-routes.ts';
import { platformRoutes } from './routes/platform-routes.ts';
import { revisionRoutes } from './routes/revision-routes.ts';
import { secretRoutes } from './routes/secret-routes.ts';
import { serviceRoutes } from './routes/service-routes.ts';
import { tenantRoutes } from './routes/tenant-routes.ts';
import { tokenRoutes } from './routes/token-routes.ts';

export const routes: readonly Route[] = [
  ...platformRoutes,
  ...tenantRoutes,
  ...functionRoutes,
  ...revisionRoutes,
  ...secretRoutes,
  ...serviceRoutes,
  ...keyRoutes,
  ...tokenRoutes,
  ...logRoutes,
];
