/**
 * How much JSON.parse would make of hostile text. It makes an object of three bytes (`{},`), so a body within a limit of
 * bytes can still hold the event loop for seconds and fill the heap: 81 MiB of them took 13 s and 3 GB.
 */

const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;

/** @returns false when the JSON text in `bytes` (UTF-8) holds more than about `max` values. Of other text it says nothing. */
export function hasAtMostValues(bytes: Uint8Array, max: number): boolean {
  let values = 1;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at);
    else if ((byte === COMMA || byte === BRACKET || byte === BRACE) && ++values > max) return false;
  }
  return true;
}

/** @returns where the string that begins at `start` ends; the end of `bytes` when it does not */
function endOfString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
