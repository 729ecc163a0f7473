/** `process.env` and `process.argv` as tenants' code finds them: what the function was given, and a few documented names. */
import type { LoadSpec } from '../contracts/frames.ts';
import { CODE_DIR } from './evaluate.ts';

/** What stays of the sandbox's own environment. */
const KEPT = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'];

/** Forms whose functions are handed their secrets as an argument; for the others the environment is the only way. */
const SECRETS_AS_ARGUMENT: ReadonlySet<string> = new Set(['webtask', 'context', 'fetch']);

export function setEnvironment(spec: LoadSpec): void {
  const kept = KEPT.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  for (const name of Object.keys(process.env)) delete process.env[name];
  const secrets = SECRETS_AS_ARGUMENT.has(spec.form) ? {} : spec.secrets;
  Object.assign(process.env, Object.fromEntries(kept), {
    NODE_ENV: 'production',
    BERTH_TENANT: spec.tenant,
    BERTH_FUNCTION: spec.fn,
    BERTH_REVISION: spec.revision,
    ...spec.env,
    ...secrets,
  });
  process.argv = [process.argv[0] ?? 'node', `${CODE_DIR}/${spec.filename}`];
  process.exitCode = undefined;
}
