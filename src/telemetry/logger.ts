/** The platform's own log: JSON lines, or readable lines on a terminal. Secrets are taken out before anything is written. */
import { pino, type DestinationStream, type Logger } from 'pino';
import { prettyLine } from './pretty-line.ts';

export interface LoggerOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** Where lines go, each with its newline. */
  readonly destination: DestinationStream;
  /** Readable lines in place of JSON. */
  readonly isPretty?: boolean;
  /** With `isPretty`. */
  readonly hasColours?: boolean;
}

const SECRET_FIELDS = [
  'authorization',
  'cookie',
  'token',
  'secret',
  'secrets',
  'password',
  'masterKey',
  'key',
];
const SECRET_HEADERS = ['authorization', 'cookie', 'set-cookie', 'proxy-authorization'];

/** A JWT or JWE in compact form (RFC 7515, 7516), wherever in the line it stands. */
const TOKEN = /\beyJ[\w-]{6,}\.[\w-]*\.[\w-]*(?:\.[\w-]*){0,2}/g;
/** Credentials in a header or a URL, as they may stand in the text of an error. */
const CREDENTIALS =
  /\b(Bearer|Basic) [\w.~+/=-]{8,}|\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@:"]{1,200}:[^\s/@"]{1,200}@/gi;

/** @returns a pino logger; `name: 'berth'` and the process id are in every line */
export function createLogger({
  level,
  destination,
  isPretty = false,
  hasColours = false,
}: LoggerOptions): Logger {
  return pino(
    {
      level,
      name: 'berth',
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.errWithCause, err: pino.stdSerializers.errWithCause },
      redact: { paths: secretPaths(), censor: '[secret]' },
      hooks: {
        streamWrite(line) {
          const safe = withoutSecrets(line);
          return isPretty ? prettyLine(safe, hasColours) : safe;
        },
      },
    },
    destination,
  );
}

/** Removes what looks like a token or credentials from a text. */
function withoutSecrets(text: string): string {
  return text
    .replace(TOKEN, '[token]')
    .replace(CREDENTIALS, (_match, scheme?: string, url?: string) =>
      scheme === undefined ? `${url ?? ''}[secret]@` : `${scheme} [secret]`,
    );
}

function secretPaths(): string[] {
  const fields = SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]);
  const headers = SECRET_HEADERS.flatMap((header) => [`headers["${header}"]`, `*.headers["${header}"]`]);
  return [...fields, ...headers];
}
