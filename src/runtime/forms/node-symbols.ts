/**
 * Properties of Node's HTTP classes that have no public name. They are found by their description, once, in the pinned
 * Node; a unit test says so when a new Node has renamed one.
 */
import http from 'node:http';
import type { Socket } from 'node:net';

const incoming = new http.IncomingMessage(null as unknown as Socket);
const outgoing = new http.ServerResponse(incoming);

function find(holder: object, description: string): symbol {
  const found = Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === description);
  if (found === undefined) throw new Error(`this Node has no ${description}`);
  return found;
}

/** How many entries of `rawHeaders` the getter `headers` reads. */
export const kHeadersCount = find(incoming, 'kHeadersCount');
/** `write` has returned false: `drain` is owed. */
export const kNeedDrain = find(outgoing, 'kNeedDrain');
/** What `setHeader` has collected: lower-case name to [name, value]. */
export const kOutHeaders = find(outgoing, 'kOutHeaders');
