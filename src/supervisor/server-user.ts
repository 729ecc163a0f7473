/** Under whom the server runs. */
import { ConfigError } from '../config/config-error.ts';
import { DEFAULT_UID_RANGE } from '../drivers/jail/jail-options.ts';

export interface ServerUser {
  readonly uid: number;
  /** The supervisor is root, and the server is not. */
  readonly isSeparate: boolean;
}

/** A user of its own when the supervisor is root; else there is but one to be had. @throws ConfigError when it is a sandbox's */
export function serverUserOf(serverUid: number, ownUid: number): ServerUser {
  if (ownUid !== 0) return { uid: ownUid, isSeparate: false };
  const { first, count } = DEFAULT_UID_RANGE;
  if (serverUid < first || serverUid >= first + count) return { uid: serverUid, isSeparate: true };
  const what = `${serverUid} is one of the user numbers that sandboxes get`;
  const wayOut = `Choose one below ${first} or above ${first + count - 1}.`;
  throw new ConfigError([{ where: 'serverUid', what, wayOut }]);
}
