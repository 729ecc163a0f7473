import { BerthError } from '../contracts/errors.ts';
import type { Authorise } from './principal.ts';

export const authorise: Authorise = (principal, scope, tenant, fn) => {
  if (principal.scopes.has('operator')) return;
  if (scope === 'operator' || tenant === null) throw forbidden('it is not the operator’s');
  if (principal.tenant !== tenant) {
    if (scope === 'run') throw forbidden('it is for another tenant');
    throw new BerthError('NOT_FOUND', { what: `tenant "${tenant}"` });
  }
  if (!principal.scopes.has(scope)) throw forbidden(`it lacks the scope "${scope}"`);
  if (principal.fn === null) return;
  if (fn === undefined ? scope !== 'run' : fn !== principal.fn)
    throw forbidden('it is for one function only');
};

function forbidden(reason: string): BerthError {
  return new BerthError('FORBIDDEN', { reason });
}
