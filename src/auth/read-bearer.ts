/** The token of an `Authorization` header (RFC 6750, 2.1). null: none, or another scheme. */
export function readBearer(header: string | undefined): string | null {
  if (header === undefined) return null;
  const match = /^Bearer ([^ ]+)$/i.exec(header.trim());
  return match?.[1] ?? null;
}
