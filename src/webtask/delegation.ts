/** Passing rights on: how often a token may be used to issue others, and from which it descends. */
import type { Principal } from '../auth/principal.ts';
import { forbidden, isOperator } from './access.ts';
import { webtaskLimits } from './webtask-limits.ts';

const MAX_ANCESTORS = webtaskLimits.webtaskAncestors.value;

/** How often a token may still be passed on (`dd`). Only webtask's tokens say; others are not limited. */
export function remainingDepth(principal: Principal): number {
  const depth = principal.claims['dd'];
  return typeof depth === 'number' && !isOperator(principal) ? depth : Number.MAX_SAFE_INTEGER;
}

/** @throws BerthError FORBIDDEN */
export function mustDelegate(principal: Principal): void {
  if (remainingDepth(principal) <= 0)
    throw forbidden('the authentication webtask token cannot be used to issue new webtask tokens');
}

/** The `ca` claim. @throws BerthError FORBIDDEN when the chain gets too long to be carried in tokens */
export function ancestorsOf(principal: Principal): readonly string[] {
  const earlier = principal.claims['ca'];
  const chain = Array.isArray(earlier) ? earlier.map(String) : [];
  if (principal.tokenId !== null) chain.push(principal.tokenId);
  if (chain.length > MAX_ANCESTORS) throw forbidden(`it was passed on ${MAX_ANCESTORS} times`);
  return chain;
}
