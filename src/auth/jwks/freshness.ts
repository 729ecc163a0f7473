/** How long an answer says that it may be believed: `Cache-Control` and `Age` (RFC 9111, sections 4.2 and 5.2.2). */

/** @returns milliseconds, 0 when it is not to be kept; null when it does not say */
export function freshForMs(cacheControl: string | undefined, age: string | undefined): number | null {
  const directives = (cacheControl ?? '').split(',').map((part) => part.trim().toLowerCase());
  if (directives.includes('no-store') || directives.includes('no-cache')) return 0;
  const maxAge = directives.find((directive) => directive.startsWith('max-age='));
  if (maxAge === undefined) return null;
  const seconds = secondsOf(maxAge.slice('max-age='.length).replace(/^"(.*)"$/, '$1'));
  // What cannot be read is to be taken for stale (section 4.2.1).
  return seconds === null ? 0 : Math.max(0, seconds - (secondsOf(age ?? '') ?? 0)) * 1_000;
}

function secondsOf(text: string): number | null {
  return /^\d{1,10}$/.test(text) ? Number(text) : null;
}
