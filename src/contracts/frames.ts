/**
 * The protocol of the channel between host and sandbox: binary frames over one Unix socket.
 *
 *   0        4      5       6          10
 *   | length | type | flags | stream   | payload (length bytes) |
 *     u32 LE   u8     u8      u32 LE
 *
 * `stream` is the number of the invocation, chosen by the host, ascending, never reused; 0 is the sandbox itself.
 * Body bytes are under credit: each side may send `INITIAL_WINDOW_BYTES` of body per invocation before the other
 * grants more with Window, half a window or more at once. The host checks everything; a sandbox that breaks a rule is
 * killed (PROTOCOL_VIOLATION).
 *
 * The frames of egress (docs/adr/0005-egress-broker.md) have streams of their own, numbered by the sandbox, ascending,
 * never reused. Each is a connection, from EgressOpen to the sandbox's EgressClose, or one look-up.
 */
import { z } from 'zod';
import { formSchema } from './forms.ts';

export const PROTOCOL_VERSION = 2;
export const FRAME_HEADER_BYTES = 10;
export const INITIAL_WINDOW_BYTES = 256 * 1024;
/** Least that a side grants at once: each grant then costs its sender as many bytes that it has taken. */
export const LEAST_GRANT_BYTES = INITIAL_WINDOW_BYTES / 2;
/** Largest piece of a body in one frame. */
export const MAX_DATA_BYTES = 64 * 1024;
/** Largest payload that the host accepts from a sandbox: a response head with its first piece of body. */
export const MAX_SANDBOX_PAYLOAD_BYTES = 160 * 1024;
/** Largest payload that the runtime accepts from the host: Load carries the code. */
export const MAX_HOST_PAYLOAD_BYTES = 256 * 1024 * 1024;
export const MAX_STREAM = 0xffff_ffff;

export const FrameType = {
  /** S→H, stream 0, JSON `hello`: the runtime waits. First frame on the channel. */
  Hello: 1,
  /** H→S, stream 0: `encodeLoad`. Once in a sandbox's life; Requests may follow at once. */
  Load: 2,
  /** S→H, stream 0, JSON `loaded`. */
  Loaded: 3,
  /** H→S: `encodeRequestHead` then first body bytes. Flags: End, Upgrade. */
  Request: 4,
  /** S→H: `encodeResponseHead` then first body bytes. Flags: End, Done. Once per invocation. */
  Response: 5,
  /** Both ways: body bytes, 0..MAX_DATA_BYTES. Flags: End (this side's body is complete); S→H also Done. */
  Data: 6,
  /** Both ways: u32 LE, bytes of body that the receiver has consumed and grants anew: `LEAST_GRANT_BYTES` or more. */
  Window: 7,
  /** H→S: the caller is gone or time is up; payload u8 `CancelReason`. The runtime aborts, and answers with Done. */
  Cancel: 8,
  /** S→H: the invocation is over, `waitUntil` included. Nothing follows on this stream. */
  Done: 9,
  /** S→H, JSON `failure`: the invocation failed; implies Done. */
  Failed: 10,
  /** H→S, stream = any number: asks for a Pong with the same number. */
  Ping: 11,
  Pong: 12,
  /** S→H: u8 level, then UTF-8 text; stream = invocation or 0. */
  Log: 13,
  /** S→H, stream 0: u32 LE lines and u32 LE bytes of log that the runtime itself dropped. */
  LogDropped: 14,
  /** S→H, stream 0, JSON `failure`: uncaught error; the process ends right after. Once. */
  Fatal: 15,
  /** H→S, stream 0: it will wait in the pool; until Load comes, compile what functions need. u8, 1: the Fetch classes too. */
  Exercise: 24,
  /** S→H, JSON `egressOpen`: connect. Answered with EgressOpened or EgressClose. */
  EgressOpen: 16,
  /** H→S, JSON `EgressPeer`: connected; bytes may follow from both sides. */
  EgressOpened: 17,
  /** Both ways: bytes of the connection, 1..MAX_DATA_BYTES. Flag End: this side sends no more (half-close); may be empty then. */
  EgressData: 18,
  /** Both ways: u32 LE, as Window: `LEAST_EGRESS_GRANT_BYTES` or more. */
  EgressWindow: 19,
  /** H→S, JSON `EgressFailure`: refused, not connected, or broken off; the sandbox answers with its own EgressClose.
   *  S→H, empty: the sandbox is done with the connection. Nothing follows on the stream from the sandbox. */
  EgressClose: 20,
  /** S→H, JSON `egressLookup`: a question to the DNS. */
  EgressLookup: 21,
  /** H→S, JSON `EgressAnswer`: ends the stream of the question. */
  EgressAnswer: 22,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const FrameFlag = { End: 1, Done: 2, Upgrade: 4 } as const;
export const CancelReason = { ClientGone: 1, Timeout: 2, Shutdown: 3 } as const;
export const LogLevel = { debug: 20, info: 30, warn: 40, error: 50 } as const;
export type LogLevelName = keyof typeof LogLevel;

/** What the host tells the runtime about one request. Header names and values alternate, as in `rawHeaders`; latin1. */
export interface RequestHead {
  readonly method: string;
  /** Path and query as the function shall see it, origin form. */
  readonly url: string;
  /** What the gateway took off the front of the path ('' when nothing): '/run/acme/hello'. */
  readonly basePath: string;
  readonly remoteAddress: string;
  readonly scheme: 'http' | 'https';
  readonly invocation: string;
  readonly headers: readonly string[];
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: readonly string[];
}

export const helloSchema = z.strictObject({ version: z.literal(PROTOCOL_VERSION), node: z.string().max(40) });
export type Hello = z.infer<typeof helloSchema>;

/** `form` is how the runtime will call the code; it differs from the revision's only where that was `auto`. */
export const loadedSchema = z.discriminatedUnion('ok', [
  z.strictObject({
    ok: z.literal(true),
    form: formSchema,
    /** Whether V8 took the bytecode, where some was sent. */
    bytecode: z.enum(['taken', 'refused']).optional(),
  }),
  z.strictObject({
    ok: z.literal(false),
    code: z.enum(['LOAD_FAILED', 'FORM_UNKNOWN']),
    reason: z.string().max(4_000),
    stack: z.string().max(16_000).optional(),
  }),
]);
export type Loaded = z.infer<typeof loadedSchema>;

/** `reason` may be shown to callers; `stack` goes to the tenant's log. */
export const failureSchema = z.strictObject({
  code: z.enum(['FUNCTION_FAILED', 'FUNCTION_CRASHED', 'RESPONSE_INVALID']),
  reason: z.string().max(4_000),
  stack: z.string().max(16_000).optional(),
});
export type Failure = z.infer<typeof failureSchema>;

/** Bytes that each side may send on a connection of egress before the other grants more. */
export const EGRESS_WINDOW_BYTES = 128 * 1024;
/** As `LEAST_GRANT_BYTES`. */
export const LEAST_EGRESS_GRANT_BYTES = EGRESS_WINDOW_BYTES / 2;
/** Streams of egress that a sandbox may have, those included that the host has closed and the sandbox has not. */
export const MAX_EGRESS_STREAMS = 65_536;
/** A host name in text form (RFC 1035, 2.3.4), or an address in any spelling. */
const MAX_HOST_CHARACTERS = 253;

const egressHostSchema = z.string().min(1).max(MAX_HOST_CHARACTERS);
const addressFamilySchema = z.literal([0, 4, 6]);

export const egressOpenSchema = z.strictObject({
  host: egressHostSchema,
  port: z.int().min(0).max(65_535),
  family: addressFamilySchema,
  /** The invocation on whose behalf it is opened, 0 for none: only for counting hops, and checked. */
  invocation: z.int().min(0).max(MAX_STREAM),
});
export type EgressOpen = z.infer<typeof egressOpenSchema>;

/** `address` asks what `getaddrinfo` would answer; the others are record types of the DNS, `reverse` names of an address. */
const lookupTypes = [
  'address',
  'reverse',
  'A',
  'AAAA',
  'ANY',
  'CAA',
  'CNAME',
  'MX',
  'NAPTR',
  'NS',
  'PTR',
  'SOA',
  'SRV',
  'TLSA',
  'TXT',
] as const;
export type LookupType = (typeof lookupTypes)[number];

export const egressLookupSchema = z.strictObject({
  name: egressHostSchema,
  type: z.enum(lookupTypes),
  family: addressFamilySchema,
});
export type EgressLookup = z.infer<typeof egressLookupSchema>;

/** The other end of a connection, as `socket.remoteAddress` and its like show it. */
export interface EgressPeer {
  readonly address: string;
  readonly family: 4 | 6;
}

/** What tenants' code gets as an error. `code` is one of Node's: EACCES for what the policy refuses. */
export interface EgressFailure {
  readonly code: string;
  readonly reason: string;
}

export type EgressAnswer =
  | {
      readonly ok: true;
      /** As Node's resolver gives it, but bytes (`data` of TLSA records) are base64; addresses for `address`, `A` and `AAAA`. */
      readonly result: unknown;
      /** seconds, one for each address of `A` and `AAAA` */
      readonly ttls?: readonly number[];
    }
  | ({ readonly ok: false } & EgressFailure);

/** What a blank sandbox needs to become one revision. Comes from the host only, so the runtime trusts it. */
export interface LoadSpec {
  readonly tenant: string;
  readonly fn: string;
  readonly revision: string;
  readonly form: z.infer<typeof formSchema>;
  readonly moduleKind: 'commonjs' | 'esm';
  /** How the prepared code must be evaluated: a CommonJS script, or an ES module (top-level await). */
  readonly evaluate: 'script' | 'module';
  /** Name in stack traces, such as `hello.ts`; never a host path. */
  readonly filename: string;
  readonly secrets: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly meta: Readonly<Record<string, string>>;
  readonly webtask: WebtaskSpec | null;
  readonly limits: {
    readonly wallMs: number;
    readonly logLineBytes: number;
    readonly logBytesPerSecond: number;
    readonly responseHeaderBytes: number;
    readonly memoryBytes: number;
  };
  /** Bytes of the three parts that follow the JSON: code, source map (0: none), bytecode (0: none). */
  readonly parts: readonly [code: number, sourceMap: number, bytecode: number];
}

/** What functions in the webtask form find in their context beyond secrets and meta (webtask contract, 3.2). */
export interface WebtaskSpec {
  readonly container: string;
  readonly name: string;
  readonly urlFormat: 1 | 2 | 3;
  readonly parseBody: 0 | 1 | 2;
  readonly mergeBody: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly token: string | null;
  readonly jti: string | null;
}
