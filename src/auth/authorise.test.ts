import { describe, expect, it } from 'vitest';
import { BerthError } from '../contracts/errors.ts';
import { authorise } from './authorise.ts';
import type { Principal, Scope } from './principal.ts';
import { readBearer } from './read-bearer.ts';
import { acme, other } from './testing/auth-fixture.ts';

function principal(scopes: readonly Scope[], rest: Partial<Principal> = {}): Principal {
  return {
    scopes: new Set(scopes),
    tenant: acme,
    fn: null,
    tokenId: null,
    expiresAt: null,
    claims: {},
    ...rest,
  };
}

function outcome(...args: Parameters<typeof authorise>): string {
  try {
    authorise(...args);
    return 'yes';
  } catch (error) {
    return error instanceof BerthError ? error.code : String(error);
  }
}

describe('authorise', () => {
  it('lets the operator do everything', () => {
    const operator = principal(['operator'], { tenant: null });
    for (const scope of ['operator', 'manage', 'run'] as const)
      for (const tenant of [null, acme]) expect(outcome(operator, scope, tenant, 'f')).toBe('yes');
  });

  it('asks for exactly the scope', () => {
    expect(outcome(principal(['manage']), 'manage', acme)).toBe('yes');
    expect(outcome(principal(['manage']), 'run', acme)).toBe('FORBIDDEN');
    expect(outcome(principal(['run']), 'manage', acme)).toBe('FORBIDDEN');
    expect(outcome(principal(['manage', 'run']), 'operator', acme)).toBe('FORBIDDEN');
    expect(outcome(principal(['manage', 'run']), 'manage', null)).toBe('FORBIDDEN');
    expect(outcome(principal([]), 'run', acme)).toBe('FORBIDDEN');
  });

  it('hides what another tenant has to manage', () => {
    expect(outcome(principal(['manage', 'run']), 'manage', other)).toBe('NOT_FOUND');
    expect(outcome(principal(['run']), 'manage', other)).toBe('NOT_FOUND');
    expect(outcome(principal(['manage', 'run']), 'run', other)).toBe('FORBIDDEN');
  });

  it('holds a token of one function to that one', () => {
    const one = principal(['manage', 'run'], { fn: 'f' });
    expect(outcome(one, 'manage', acme, 'f')).toBe('yes');
    expect(outcome(one, 'run', acme, 'f')).toBe('yes');
    expect(outcome(one, 'run', acme)).toBe('yes');
    expect(outcome(one, 'manage', acme)).toBe('FORBIDDEN');
    expect(outcome(one, 'manage', acme, 'g')).toBe('FORBIDDEN');
    expect(outcome(principal(['run'], { fn: '' }), 'run', acme, 'f')).toBe('FORBIDDEN');
  });
});

describe('readBearer', () => {
  it('gives the token of a bearer header, and null for anything else', () => {
    expect(readBearer('Bearer a.b.c')).toBe('a.b.c');
    expect(readBearer('bearer a.b.c ')).toBe('a.b.c');
    for (const header of [undefined, '', 'Bearer', 'Bearer ', 'Basic a.b.c', 'Bearer a b', 'a.b.c'])
      expect(readBearer(header)).toBeNull();
  });
});
