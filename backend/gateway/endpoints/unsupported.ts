// Actions of the original that this release does not carry out. It owns their refusal, so that a client is told what is
// missing instead of that it mistyped a path; it must never change anything.

import { ApiError } from '../api-error.js';
import type { Route } from '../route.js';

/** `NOT_SUPPORTED` of the original. */
const NOT_SUPPORTED = 288;
const HTTP_NOT_IMPLEMENTED = 501;

const MIGRATION = 'Migration of a VTree to another Storage Pool is not supported by this release';
const REPLICATION = 'Replication between systems is not supported by this release';

/** Path of the action and why it is refused. */
const REFUSED: readonly (readonly [path: string, reason: string])[] = [
  ['/api/instances/Volume::{id}/action/migrateVTree', MIGRATION],
  ['/api/types/ReplicationConsistencyGroup/instances', REPLICATION],
  ['/api/types/ReplicationPair/instances', REPLICATION],
  ['/api/types/PeerMdm/instances', REPLICATION],
];

export const UNSUPPORTED_ROUTES: readonly Route[] = REFUSED.map(([path, reason]) => ({
  method: 'POST',
  path,
  handle: () => Promise.reject(new ApiError(HTTP_NOT_IMPLEMENTED, NOT_SUPPORTED, reason)),
}));
