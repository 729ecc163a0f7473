/**
 * Makes text from a sandbox safe to show and to store: no terminal escapes, no control characters but newline and tab,
 * no characters that reorder what is read (CVE-2021-42574), whole Unicode, limited length.
 */

/** ECMA-48: control sequences (CSI), strings (OSC, DCS, SOS, PM, APC) and two-character escapes. Each part stops at the next ESC: linear. */
const ESCAPES =
  /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const NEEDS_CARE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/;

/** @param maxBytes of UTF-8; what is over is cut off at a whole character and marked with `…` */
export function cleanText(text: string, maxBytes: number): string {
  // A character has at most three bytes for each UTF-16 unit: text far over the limit need not be looked at whole.
  const bounded = text.length > maxBytes ? text.slice(0, maxBytes + 1) : text;
  const safe = NEEDS_CARE.test(bounded)
    ? bounded.replace(ESCAPES, '').replace(CONTROLS, '').toWellFormed()
    : bounded;
  return cut(safe, maxBytes, bounded.length < text.length);
}

function cut(text: string, maxBytes: number, isCutAlready: boolean): string {
  if (!isCutAlready && (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes)) return text;
  const bytes = Buffer.from(text);
  let end = Math.min(bytes.length, Math.max(0, maxBytes - 3));
  while (end > 0 && end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}…`;
}
