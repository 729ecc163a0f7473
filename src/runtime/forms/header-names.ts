/** Headers as objects, and those that never leave a function: they are about one connection (RFC 9110, 7.6.1). */

const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'trailer',
]);

export function isConnectionHeader(name: string): boolean {
  return name.length <= 17 && CONNECTION_HEADERS.has(name.toLowerCase());
}

/** Lower-cased names; values of the same name joined as Node joins them: cookies by `; `, all others by `, `. */
export function headersObject(raw: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]!.toLowerCase();
    const value = raw[index + 1]!;
    if (name === '__proto__') continue;
    const before = Object.hasOwn(headers, name) ? headers[name] : undefined;
    headers[name] = before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return headers;
}

/** The value of one header, or '' when it is not there. */
export function headerValue(raw: readonly string[], lowerCaseName: string): string {
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index]!;
    if (name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) return raw[index + 1]!;
  }
  return '';
}
