/** What says how the platform is: about, health, limits, metrics. */
import { z } from 'zod';
import { BerthError } from '../../contracts/errors.ts';
import { isolationTiers } from '../../contracts/isolations.ts';
import { limitDefinitions } from '../../contracts/limits.ts';
import type { RuntimeFacts } from '../../drivers/driver.ts';
import { readinessOf } from '../readiness.ts';
import { type Route, route, WithStatus } from '../route.ts';
import { platformKeyParams } from '../schemas.ts';
import { json } from '../views.ts';

const linksView = z.object({ name: z.literal('berth'), links: z.record(z.string(), z.string()) });
const gapView = z.object({ name: z.string(), isAccepted: z.boolean(), reason: z.string().optional() });
const runtimeView = z.object({
  name: z.string(),
  hasOwnKernel: z.boolean(),
  gaps: z.array(z.string()),
  fixedLimits: z.array(z.string()).describe('a sandbox for which these change is replaced'),
  canFreeze: z.boolean().describe('code of an idle function gets no CPU, see `freezeMs`'),
});
const aboutView = z.object({
  name: z.literal('berth'),
  version: z.string(),
  node: z.string(),
  driver: z.object({
    name: z.string(),
    cgroupVersion: z.number().nullable(),
    gaps: z.array(gapView),
    runtimes: z.record(z.enum(isolationTiers), runtimeView.nullable()),
  }),
  scopes: z.array(z.string()),
  tenant: z.string().nullable(),
});
const limitView = z.object({
  default: z.number(),
  floor: z.number(),
  ceiling: z.number(),
  unit: z.string(),
  says: z.string(),
});

function viewRuntime(runtime: RuntimeFacts | null): z.input<typeof runtimeView> | null {
  if (runtime === null) return null;
  const { name, hasOwnKernel, gaps, fixedLimits, canFreeze } = runtime;
  return { name, hasOwnKernel, gaps: [...gaps.keys()], fixedLimits: [...fixedLimits], canFreeze };
}

export const platformRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/',
    scope: 'open',
    name: 'getLinks',
    summary: 'Where things are.',
    answers: json(linksView),
    handler: async () => ({
      name: 'berth' as const,
      links: {
        api: '/v1',
        openapi: '/openapi.json',
        functions: '/run/{tenant}/{function}',
        health: '/healthz',
        ready: '/readyz',
      },
    }),
  }),
  route({
    method: 'GET',
    path: '/healthz',
    scope: 'open',
    name: 'getHealth',
    summary: '200 as long as the process turns.',
    answers: { kind: 'text', mediaType: 'text/plain; charset=utf-8' },
    handler: async () => 'ok\n',
  }),
  route({
    method: 'GET',
    path: '/readyz',
    scope: 'open',
    name: 'getReadiness',
    summary: '200 only when an invocation would succeed; 503 with the reasons otherwise.',
    answers: json(z.object({ isReady: z.boolean(), reasons: z.array(z.string()) })),
    async handler({ services }) {
      const reasons = await readinessOf(services);
      return new WithStatus(reasons.length === 0 ? 200 : 503, { isReady: reasons.length === 0, reasons });
    },
  }),
  route({
    method: 'GET',
    path: '/metrics',
    scope: 'metrics',
    name: 'getMetrics',
    summary: "Metrics in Prometheus' text format. Operator only, unless metricsPublic is set.",
    answers: { kind: 'text', mediaType: 'text/plain; version=0.0.4; charset=utf-8' },
    handler: ({ services }) => services.metrics(),
  }),
  route({
    method: 'GET',
    path: '/v1',
    scope: 'any',
    name: 'getAbout',
    summary: 'Version, driver and its gaps, and what the token is good for.',
    answers: json(aboutView),
    async handler({ services: { facts, acceptedGaps, version }, principal }) {
      if (principal === null) throw new BerthError('TOKEN_MISSING');
      const isOperator = principal.scopes.has('operator');
      const gaps = [...facts.gaps].map(([name, reason]) => ({
        name,
        isAccepted: acceptedGaps.includes(name),
        // The reasons speak of the host, which is the operator's.
        ...(isOperator ? { reason } : {}),
      }));
      return {
        name: 'berth' as const,
        version,
        node: process.version,
        driver: {
          name: facts.driver,
          cgroupVersion: facts.cgroupVersion,
          gaps,
          runtimes: {
            standard: viewRuntime(facts.runtimes.standard),
            hardened: viewRuntime(facts.runtimes.hardened),
          },
        },
        scopes: [...principal.scopes],
        tenant: principal.tenant,
      };
    },
  }),
  route({
    method: 'GET',
    path: '/v1/limits',
    scope: 'any',
    name: 'listLimits',
    summary: 'Every limit: default, floor, ceiling, unit and what it limits.',
    answers: json(z.record(z.string(), limitView)),
    handler: async () => limitDefinitions,
  }),
  route({
    method: 'POST',
    path: '/v1/rollout',
    scope: 'operator',
    name: 'rollOut',
    summary:
      'Makes all sandboxes anew of what the driver now has (a patched Node): the pool first, then those in use, one after the other; no request fails.',
    answers: json(z.object({ nodeVersions: z.array(z.string()) })),
    async handler({ services }) {
      const { nodeVersions } = await services.control.rollout();
      return { nodeVersions: [...nodeVersions] };
    },
  }),
  route({
    method: 'POST',
    path: '/v1/keys/rotate',
    scope: 'operator',
    name: 'rotatePlatformKey',
    summary: 'Makes a new platform key that signs from now on; tokens of the old ones stay good.',
    answers: json(z.object({ id: z.string() }), 201),
    handler: ({ services }) => services.control.rotatePlatformKey(),
  }),
  route({
    method: 'DELETE',
    path: '/v1/keys/:kid',
    scope: 'operator',
    name: 'revokePlatformKey',
    summary:
      "Revokes a platform key that does not sign any more, by the `kid` of its tokens: they are refused at once, the operator's own too.",
    params: platformKeyParams,
    answers: { kind: 'nothing' },
    handler: ({ services: { control }, params }) => control.revokePlatformKey(params.kid),
  }),
];
