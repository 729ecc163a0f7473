/**
 * The one registry of errors. Each failure that a user can cause has a code here; `docs/errors.md` is generated from it.
 * `text` may hold `{name}` placeholders, filled from the error's `facts`.
 */

/** whose fault: `tenant` (their code), `caller` (the request), `platform` (us or the operator) */
export type Fault = 'tenant' | 'caller' | 'platform';

export interface ErrorDefinition {
  readonly status: number;
  readonly fault: Fault;
  readonly retry: boolean;
  readonly text: string;
  readonly wayOut: string;
}

export const errorDefinitions = {
  // --- what a caller asks for
  BAD_REQUEST: {
    status: 400,
    fault: 'caller',
    retry: false,
    text: 'The request is not valid: {reason}.',
    wayOut: 'Correct the request; /openapi.json describes every call.',
  },
  NAME_INVALID: {
    status: 400,
    fault: 'caller',
    retry: false,
    text: 'The name is not valid: {reason}.',
    wayOut: 'Choose another name.',
  },
  CODE_INVALID: {
    status: 400,
    fault: 'tenant',
    retry: false,
    text: 'The code does not compile: {reason} ({file}:{line}:{column}).',
    wayOut: 'Correct the code at that place and deploy again; the active revision was not changed.',
  },
  CODE_TOO_LARGE: {
    status: 413,
    fault: 'tenant',
    retry: false,
    text: 'The code has {size} bytes; the limit codeBytes is {limit}.',
    wayOut: 'Bundle less, or ask the operator for a higher codeBytes.',
  },
  FORM_UNKNOWN: {
    status: 400,
    fault: 'tenant',
    retry: false,
    text: 'The code exports nothing that can be called: {reason}.',
    wayOut: 'Export a function (docs/programming-models.md), or set the form by hand.',
  },
  BODY_TOO_LARGE: {
    status: 413,
    fault: 'caller',
    retry: false,
    text: 'The body is larger than the limit {limit} allows.',
    wayOut: 'Send less, or ask for a higher limit.',
  },
  REQUEST_TIMEOUT: {
    status: 408,
    fault: 'caller',
    retry: false,
    text: 'The request did not arrive in time: {name} ({limit} ms).',
    wayOut: 'Send the request without long pauses.',
  },
  HEADERS_TOO_LARGE: {
    status: 431,
    fault: 'caller',
    retry: false,
    text: 'The request headers are larger than requestHeaderBytes allows.',
    wayOut: 'Send fewer or shorter headers.',
  },
  TOKEN_MISSING: {
    status: 401,
    fault: 'caller',
    retry: false,
    text: 'This needs a token.',
    wayOut: 'Send "Authorization: Bearer <token>".',
  },
  TOKEN_INVALID: {
    status: 401,
    fault: 'caller',
    retry: false,
    text: 'The token is not valid: {reason}.',
    wayOut: 'Get a new token.',
  },
  FORBIDDEN: {
    status: 403,
    fault: 'caller',
    retry: false,
    text: 'The token does not allow this: {reason}.',
    wayOut: 'Use a token with that right.',
  },
  NOT_FOUND: {
    status: 404,
    fault: 'caller',
    retry: false,
    text: 'There is no {what}.',
    wayOut: 'Check the name; "berth tenant ls", "berth ls" and "berth revisions <fn>" list what there is.',
  },
  ROUTE_NOT_FOUND: {
    status: 404,
    fault: 'caller',
    retry: false,
    text: 'There is nothing at this address.',
    wayOut: 'Functions are at /run/{tenant}/{function}; /openapi.json describes the API.',
  },
  METHOD_NOT_ALLOWED: {
    status: 405,
    fault: 'caller',
    retry: false,
    text: 'This address does not take {method}.',
    wayOut: '/openapi.json describes the API.',
  },
  CONFLICT: {
    status: 409,
    fault: 'caller',
    retry: false,
    text: '{what} exists already.',
    wayOut: 'Choose another name, or change the one that is there.',
  },
  KEY_IN_USE: {
    status: 409,
    fault: 'caller',
    retry: false,
    text: 'The key "{id}" is the one with which the platform signs.',
    wayOut: 'Make a new one first: POST /v1/keys/rotate ("berth key rotate").',
  },
  LIMIT_REACHED: {
    status: 409,
    fault: 'caller',
    retry: false,
    text: 'The limit {name} ({limit}) is reached.',
    wayOut: 'Remove something, or ask the operator for a higher limit.',
  },
  SETTING_TOO_LARGE: {
    status: 413,
    fault: 'caller',
    retry: false,
    text: '{what} is too large: {size} bytes; the limit {name} is {limit}.',
    wayOut: 'Make it smaller, or ask the operator for a higher limit.',
  },
  TENANT_SUSPENDED: {
    status: 403,
    fault: 'platform',
    retry: false,
    text: 'The tenant is suspended.',
    wayOut: 'Ask the operator.',
  },
  LOOP_DETECTED: {
    status: 508,
    fault: 'tenant',
    retry: false,
    text: 'The request passed through the gateway {hops} times.',
    wayOut: 'Let the function not call itself without end.',
  },
  // --- admission
  RATE_LIMITED: {
    status: 429,
    fault: 'caller',
    retry: true,
    text: 'The tenant sends more than requestsPerSecond ({limit}) allows.',
    wayOut: 'Send slower, or ask for a higher requestsPerSecond.',
  },
  CONCURRENCY_LIMIT: {
    status: 503,
    fault: 'tenant',
    retry: true,
    text: 'The limit {name} ({limit}) is reached.',
    wayOut: 'Try again after the time in Retry-After, or ask for a higher limit.',
  },
  QUEUE_FULL: {
    status: 503,
    fault: 'tenant',
    retry: true,
    text: 'The queue of the tenant is full: limit {name} ({limit}).',
    wayOut: 'Try again after the time in Retry-After.',
  },
  QUEUE_TIMEOUT: {
    status: 503,
    fault: 'tenant',
    retry: true,
    text: 'No sandbox became free within queueMs ({limit} ms).',
    wayOut: 'Try again, or ask for more sandboxesPerFunction.',
  },
  SHUTTING_DOWN: {
    status: 503,
    fault: 'platform',
    retry: true,
    text: 'The platform is stopping.',
    wayOut: 'Try again in a moment.',
  },
  // --- running tenants' code
  EVENT_LOOP_BLOCKED: {
    status: 504,
    fault: 'tenant',
    retry: false,
    text: 'Blocked event loop. The function blocked its event loop for longer than {name} ({limit} ms){place}.',
    wayOut: 'Do long work in small steps, or ask for a higher limit.',
  },
  TIMEOUT: {
    status: 504,
    fault: 'tenant',
    retry: false,
    text: 'The function did not answer within wallMs ({limit} ms).',
    wayOut: 'Answer sooner, or ask for a higher wallMs.',
  },
  REVISION_REPLACED: {
    status: 503,
    fault: 'tenant',
    retry: true,
    text: 'The revision was replaced, and this went on for longer than drainMs ({limit} ms) after that.',
    wayOut: 'Call again: the new revision answers. Let long streams end and reconnect now and then.',
  },
  LOAD_TIMEOUT: {
    status: 504,
    fault: 'tenant',
    retry: false,
    text: 'The revision did not load within loadMs ({limit} ms).',
    wayOut: 'Do less at the top level of the module.',
  },
  MEMORY_LIMIT: {
    status: 502,
    fault: 'tenant',
    retry: false,
    text: 'The function used more memory than memoryBytes ({limit}) allows.',
    wayOut: 'Use less memory (stream, do not collect), or ask for a higher memoryBytes.',
  },
  FUNCTION_CRASHED: {
    status: 502,
    fault: 'tenant',
    retry: false,
    text: 'The function ended its process: {reason}.',
    wayOut: 'The log of the function says more ("berth logs").',
  },
  FUNCTION_FAILED: {
    status: 500,
    fault: 'tenant',
    retry: false,
    text: 'The function failed: {reason}.',
    wayOut: 'The log of the function says more ("berth logs").',
  },
  LOAD_FAILED: {
    status: 500,
    fault: 'tenant',
    retry: false,
    text: 'The code does not load: {reason}.',
    wayOut: 'Correct the code and deploy again.',
  },
  RESPONSE_INVALID: {
    status: 502,
    fault: 'tenant',
    retry: false,
    text: 'The function sent a response that is not valid HTTP: {reason}.',
    wayOut: 'Correct the status or the headers.',
  },
  PROTOCOL_VIOLATION: {
    status: 502,
    fault: 'tenant',
    retry: false,
    text: 'The sandbox broke the protocol of the channel and was killed.',
    wayOut: 'Do not touch the descriptors of the runtime.',
  },
  // --- the platform
  ISOLATION_GAP: {
    status: 409,
    fault: 'platform',
    retry: false,
    text: 'This host cannot give {gaps} with the driver {driver}, so more than one tenant is refused.',
    wayOut: 'Mend the host, choose another driver, or accept the gap by name: acceptGaps={gaps}.',
  },
  ISOLATION_UNAVAILABLE: {
    status: 409,
    fault: 'platform',
    retry: false,
    text: 'The driver {driver} makes no sandboxes of the isolation "{isolation}" here.',
    wayOut: 'Set docker.runtime to any (or runsc) on an engine that has gVisor, or choose another isolation.',
  },
  SERVICES_UNAVAILABLE: {
    status: 409,
    fault: 'platform',
    retry: false,
    text: 'There are no services here: {reason}.',
    wayOut: 'Services are containers: run the platform with driver=docker (docs/docker.md).',
  },
  SERVICE_KIND_UNKNOWN: {
    status: 400,
    fault: 'caller',
    retry: false,
    text: 'There is no kind of service "{kind}"; there are: {kinds}.',
    wayOut: 'Choose one of these, or ask the operator for another.',
  },
  SERVICE_IMAGE_MISSING: {
    status: 409,
    fault: 'platform',
    retry: false,
    text: 'The engine does not have the image "{image}" of this kind of service.',
    wayOut:
      'Load it (docker pull {image}, or scripts/service-images.sh), or name another in the setting services.',
  },
  SERVICE_START_FAILED: {
    status: 503,
    fault: 'platform',
    retry: true,
    text: 'The service "{service}" did not start: {reason}.',
    wayOut: 'See what it wrote; a service with more memory may help. Its data is kept.',
  },
  NODE_UNAVAILABLE: {
    status: 409,
    fault: 'tenant',
    retry: false,
    text: 'No sandbox runs a Node.js that satisfies "{range}"; there are {versions}.',
    wayOut:
      'Change engines.node in package.json, or ask the operator for that version (berth image build --node).',
  },
  SANDBOX_START_FAILED: {
    status: 503,
    fault: 'platform',
    retry: true,
    text: 'No sandbox could be started.',
    wayOut: 'Try again; the operator finds the reason in the platform log.',
  },
  STORE_UNAVAILABLE: {
    status: 503,
    fault: 'platform',
    retry: true,
    text: 'The store did not take the change.',
    wayOut: 'Try again; nothing was changed.',
  },
  INTERNAL: {
    status: 500,
    fault: 'platform',
    retry: false,
    text: 'The platform failed.',
    wayOut: 'The operator finds the reason in the platform log under this invocation or request id.',
  },
} as const satisfies Record<string, ErrorDefinition>;

export type ErrorCode = keyof typeof errorDefinitions;
export type ErrorFacts = Readonly<Record<string, string | number>>;

/** A failure with a code of the registry. `message` is safe for a caller; `cause` is for the operator's log only. */
export class BerthError extends Error {
  override readonly name = 'BerthError';
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, facts: ErrorFacts = {}, options?: { cause?: unknown }) {
    super(fill(errorDefinitions[code].text, facts), options);
    this.code = code;
    this.facts = facts;
  }

  get definition(): ErrorDefinition {
    return errorDefinitions[this.code];
  }
}

/** A problem as callers get it: RFC 9457 `application/problem+json`, with `code` as the stable part. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly wayOut: string;
  readonly [fact: string]: string | number;
}

export function problemOf(error: BerthError): Problem {
  const { status, wayOut } = error.definition;
  return {
    ...error.facts,
    type: `urn:berth:error:${error.code}`,
    title: error.code,
    status,
    code: error.code,
    detail: error.message,
    wayOut: fill(wayOut, error.facts),
  };
}

/** Anything thrown becomes a BerthError; what is not one is INTERNAL with the original as its cause. */
export function toBerthError(thrown: unknown): BerthError {
  return thrown instanceof BerthError ? thrown : new BerthError('INTERNAL', {}, { cause: thrown });
}

/** A fact that ends a sentence itself (what tenants' code threw, say) takes no second full stop. */
function fill(text: string, facts: ErrorFacts): string {
  return text.replace(/\{(\w+)\}(\.?)/g, (placeholder, name: string, stop: string) => {
    const fact = facts[name] ?? (name === 'place' ? '' : null);
    if (fact === null) return placeholder;
    return /[.!?]$/.test(String(fact)) ? String(fact) : `${fact}${stop}`;
  });
}
