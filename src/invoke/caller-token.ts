/** Which of a caller's tokens code gets to see: never one that may do more than the code (operator's, a manager's). */
import type { IncomingMessage } from 'node:http';
import type { Principal } from '../auth/principal.ts';
import { readBearer } from '../auth/read-bearer.ts';
import { MAX_TOKEN_CHARACTERS } from '../auth/refusal.ts';

const TOKEN_HEADER: ReadonlySet<string> = new Set(['authorization']);
const PLATFORM = 'berth';

/** For a caller whose token was verified. @returns headers to give instead of the request's own; undefined: those */
export function headersOfCaller(
  request: IncomingMessage,
  { scopes }: Principal,
): readonly string[] | undefined {
  if (!scopes.has('operator') && !scopes.has('manage')) return undefined;
  return withoutHeaders(request.rawHeaders, TOKEN_HEADER);
}

/** For a public function, where nobody verifies: what says that it is the platform's token and manages, is hidden. */
export function headersForPublic(request: IncomingMessage): readonly string[] | undefined {
  const token = readBearer(request.headers.authorization);
  if (token === null || !saysThatItManages(token)) return undefined;
  return withoutHeaders(request.rawHeaders, TOKEN_HEADER);
}

/** Of a token that nobody verified: it calls itself one of the platform's that does more than run functions. */
export function saysThatItManages(token: string): boolean {
  const claims = peekClaims(token);
  return claims !== null && claims['iss'] === PLATFORM && claimsToManage(claims['scope']);
}

function claimsToManage(scope: unknown): boolean {
  if (typeof scope !== 'string') return false;
  const words = scope.split(' ');
  return words.includes('operator') || words.includes('manage');
}

/** Claims of a token as it says itself, unverified: good for choosing keys, for no right at all. null: not a signed JWT */
export function peekClaims(token: string): Readonly<Record<string, unknown>> | null {
  if (token.length > MAX_TOKEN_CHARACTERS) return null;
  const parts = token.split('.');
  if (parts.length !== 3) return null;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString());
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims)
      ? (claims as Record<string, unknown>)
      : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Raw headers without those of the given names (lower case). */
export function withoutHeaders(rawHeaders: readonly string[], names: ReadonlySet<string>): readonly string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    if (!names.has(name.toLowerCase())) kept.push(name, rawHeaders[index + 1]!);
  }
  return kept;
}
