/** `req.x_wt`: what the webtask platform tells `webtask-tools` about the request (webtask contract, 1.1 and 3.3). */
import type { LoadSpec } from '../../contracts/frames.ts';
import type { Exchange } from '../exchange.ts';

export function wtHeader(exchange: Exchange, spec: LoadSpec): Record<string, unknown> {
  const { webtask } = spec;
  return {
    req_id: exchange.head.invocation,
    container: webtask?.container ?? spec.tenant,
    jtn: webtask?.name ?? spec.fn,
    url_format: webtask?.urlFormat ?? 1,
    url: `webtask://localhost/api/data/code/${encodeURIComponent(`${spec.tenant}/${spec.fn}`)}`,
    pb: webtask?.parseBody ?? 2,
    mb: webtask?.mergeBody === true ? 1 : 0,
    pctx: { ...webtask?.params },
    ectx: { ...spec.secrets },
    meta: { ...spec.meta },
    jti: webtask?.jti ?? undefined,
    token: webtask?.token ?? undefined,
    resolved_modules: {},
  };
}
