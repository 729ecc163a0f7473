/** Which targets stay in the sandbox, and how names are written on the channel. */
import net from 'node:net';
import { domainToASCII } from 'node:url';

const MAX_HOST_CHARACTERS = 253;
const LOOPBACK = /^(?:127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::|::ffff:127\.\d+\.\d+\.\d+)$/;

/** RFC 6761, 6.3. */
export function isLocalName(name: string): boolean {
  return /^(?:.+\.)?localhost\.?$/i.test(name);
}

/** The sandbox's own loopback: code may speak to what it listens on itself. */
export function isLocalHost(host: string): boolean {
  return isLocalName(host) || (net.isIP(host) !== 0 && LOOPBACK.test(host));
}

/** @returns null when no DNS could know such a name */
export function writtenName(name: string): string | null {
  // oxlint-disable-next-line no-control-regex
  const ascii = /^[\x21-\x7e]+$/.test(name) ? name : domainToASCII(name);
  return ascii.length === 0 || ascii.length > MAX_HOST_CHARACTERS ? null : ascii;
}
