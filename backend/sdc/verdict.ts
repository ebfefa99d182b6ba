// What the client does about the status of an answer. It owns the mapping from error classes to actions; it must never
// act itself.

import { ERR } from '../protocol/generated/constants.js';
import { ERROR_BY_CODE } from '../protocol/generated/errors.js';

import type { Errno } from './block-front.js';
import { ERRNO } from './block-front.js';

/** An action, or the errno that ends the operation. */
export const VERDICT = {
  done: 'done',
  /** Look at the newest map and try again. */
  reroute: 'reroute',
  /** Try again after a pause; the answerer may be behind the map that we know. */
  later: 'later',
  /** Nothing was applied for want of space: wait for some. */
  park: 'park',
  /** The answerer says that we are not allowed; true if our map does not say otherwise. */
  doubt: 'doubt',
  fail: 'fail',
} as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

/**
 * @param status - of an answer
 * @param waitsForSpace - the policy of volume and pool: a write to a full pool waits
 */
export function judge(status: number, waitsForSpace: boolean): Verdict {
  if (status === 0) return VERDICT.done;
  switch (status) {
    case ERR.MAPPING_REVOKED:
    case ERR.UNKNOWN_VOLUME:
    case ERR.OUT_OF_RANGE:
    case ERR.READ_ONLY:
      return VERDICT.doubt;
    case ERR.NO_SPACE:
      return waitsForSpace ? VERDICT.park : VERDICT.fail;
    default:
  }
  switch (ERROR_BY_CODE.get(status)?.class) {
    case 'refresh':
      return VERDICT.reroute;
    case 'retry':
    case 'maybe':
    case 'unavailable':
      return VERDICT.later;
    case 'corrupt':
    case 'rejected':
    case 'denied':
    case undefined:
      return VERDICT.fail;
  }
}

const ERRNOS: ReadonlyMap<number, Errno> = new Map(
  Object.values(ERRNO).map((errno) => [errno, errno]),
);

/** What the front end is told about a status that ends an operation. */
export function errnoOf(status: number): Errno {
  const errno = ERROR_BY_CODE.get(status)?.nbdErrno ?? ERRNO.EIO;
  return errno === 0 ? ERRNO.EIO : (ERRNOS.get(errno) ?? ERRNO.EIO);
}
