const SCHEME = /^bearer $/i;
const SCHEME_LENGTH = 'Bearer '.length;

/** The token of an `Authorization` header (RFC 6750, 2.1). null: none, or another scheme. */
export function readBearer(header: string | undefined): string | null {
  if (header === undefined) return null;
  const text = header.trim();
  const token = text.slice(SCHEME_LENGTH);
  // No expression over the whole of it: that costs more than all the rest here.
  if (token === '' || token.includes(' ') || !SCHEME.test(text.slice(0, SCHEME_LENGTH))) return null;
  return token;
}
