/** Names of sandboxes: short, because they stand in the paths of sockets; random, because they outlive a killed platform. */
import { randomInt } from 'node:crypto';
import { asSandboxId, type SandboxId } from '../contracts/ids.ts';

const LETTERS = '0123456789abcdefghijklmnopqrstuvwxyz';
const LENGTH = 14;

export function newSandboxId(): SandboxId {
  return asSandboxId(`s${Array.from({ length: LENGTH }, () => LETTERS[randomInt(LETTERS.length)]).join('')}`);
}
