// THE error table. A row exists if and only if some caller reacts to it differently, or a client of the original
// system depends on its number or text. Numbers are never reused. It must never hold behaviour.

/**
 * What a caller does about an error; callers switch on the class, rarely on the name.
 * retry: nothing happened, try again. refresh: the caller's map is older than the answerer's. maybe: the outcome is
 * unknown, ask again with the same operation id. rejected: the caller's fault. unavailable: no good copy can be
 * reached, wait or fail by policy. corrupt: no copy verifies. denied: not allowed to ask.
 */
export type ErrorClass =
  'retry' | 'refresh' | 'maybe' | 'rejected' | 'unavailable' | 'corrupt' | 'denied';

export interface ErrorRow {
  /** Number on our wire. */
  readonly code: number;
  readonly class: ErrorClass;
  /** `errorCode` of the REST answer, as the original's clients know it. */
  readonly restCode: number;
  readonly httpStatus: number;
  /** errno of the NBD answer: 0 where the error never reaches a block client. EIO 5, ENOMEM 12, EINVAL 22, ENOSPC 28, EPERM 1, ESHUTDOWN 108. */
  readonly nbdErrno: number;
  /** Text for people; `{}` places are filled by the details of the answer. */
  readonly text: string;
}

const row = (
  code: number,
  errorClass: ErrorClass,
  restCode: number,
  httpStatus: number,
  nbdErrno: number,
  text: string,
): ErrorRow => ({ code, class: errorClass, restCode, httpStatus, nbdErrno, text });

export const ERRORS = {
  // Data path: 1 .. 63, small integers in the answer's status.
  STALE_GENERATION: row(1, 'refresh', 1, 500, 5, 'The comb has a newer generation'),
  STALE_VOLUME_EPOCH: row(2, 'refresh', 1, 500, 5, 'The volume has a newer epoch'),
  NOT_PRIMARY: row(3, 'refresh', 1, 500, 5, 'This device is not the primary of the comb'),
  WRONG_COMB: row(4, 'refresh', 1, 500, 5, 'The chunk does not belong to this comb'),
  NO_LEASE: row(5, 'retry', 32, 500, 5, 'The primary holds no lease yet'),
  BUSY: row(6, 'retry', 32, 503, 5, 'The device has no room for another operation'),
  MAPPING_REVOKED: row(7, 'rejected', 84, 500, 108, 'The volume is not mapped to SDC'),
  UNKNOWN_VOLUME: row(8, 'rejected', 79, 500, 108, 'Could not find the volume'),
  OUT_OF_RANGE: row(9, 'rejected', 64, 500, 22, 'The range lies beyond the end of the volume'),
  READ_ONLY: row(10, 'rejected', 58, 500, 1, 'The volume is mapped read-only'),
  NO_SPACE: row(11, 'rejected', 337, 500, 28, 'The storage pool has no free capacity'),
  CHECKSUM_MISMATCH: row(12, 'corrupt', 1, 500, 5, 'No copy of the block matches its checksum'),
  DEVICE_FAILED: row(13, 'unavailable', 220, 500, 5, 'The device failed'),
  NO_COPY: row(14, 'unavailable', 1, 500, 5, 'No good copy can be reached'),
  TIMED_OUT: row(15, 'maybe', 68, 500, 5, 'The operation timed out; it may have been applied'),
  NOT_READY: row(16, 'retry', 32, 503, 5, 'The device does not serve yet'),
  BAD_FRAME: row(17, 'rejected', 11, 400, 22, 'The frame is malformed: {reason}'),
  LINK_SUPERSEDED: row(18, 'maybe', 4, 500, 5, 'A newer link of the same client took over'),

  // Sessions: 64 .. 95.
  AUTHENTICATION_FAILED: row(64, 'denied', 0, 401, 0, 'Unauthorized'),
  VERSION_UNSUPPORTED: row(
    65,
    'denied',
    336,
    500,
    0,
    'Protocol versions {offered} offered, {served} served',
  ),
  WRONG_SYSTEM: row(66, 'denied', 77, 500, 0, 'The component belongs to another system'),
  NOT_MASTER: row(67, 'retry', 105, 500, 0, 'This MDM is not the master'),
  SDC_NOT_APPROVED: row(68, 'denied', 322, 500, 0, 'The SDC is not approved'),
  WRONG_TARGET: row(69, 'denied', 1, 500, 0, 'Another component answers at this address'),
  PERMISSION_DENIED: row(70, 'denied', 247, 403, 0, 'Permission denied'),
  COMPONENT_TOO_OLD: row(
    72,
    'denied',
    336,
    500,
    0,
    'This system was raised to version {cluster}, the component speaks up to {offered}: install a newer version of it',
  ),
  TOO_MANY_CONNECTIONS: row(71, 'retry', 67, 503, 0, 'Too many connections'),

  // Commands: 128 and up. REST numbers and texts are those that the original's clients compare.
  INTERNAL: row(128, 'maybe', 1, 500, 0, 'Internal error'),
  NOT_FOUND: row(129, 'rejected', 3, 500, 0, 'Not found'),
  INVALID_PARAMETER: row(130, 'rejected', 0, 400, 0, 'Request message is not valid: {reason}'),
  PENDING: row(
    131,
    'maybe',
    2,
    500,
    0,
    'The command was accepted and is not finished yet: {reason}',
  ),
  CONFLICT: row(132, 'retry', 32, 409, 0, 'The object changed meanwhile'),
  STORE_FAILED: row(133, 'maybe', 1, 500, 0, 'The metadata store failed'),
  VOLUME_NOT_FOUND: row(140, 'rejected', 79, 500, 0, 'Could not find the volume'),
  SDC_NOT_FOUND: row(141, 'rejected', 80, 500, 0, 'Could not find the SDC'),
  VOLUME_ALREADY_MAPPED: row(
    142,
    'rejected',
    81,
    500,
    0,
    'The volume is already mapped to this SDC',
  ),
  VOLUME_NOT_MAPPED: row(143, 'rejected', 84, 500, 0, 'The volume is not mapped to SDC'),
  VOLUME_NAME_IN_USE: row(
    144,
    'rejected',
    99,
    500,
    0,
    'Volume name already in use. Please use a different name.',
  ),
  VOLUME_MAPPED: row(145, 'rejected', 104, 500, 0, 'Volume is mapped'),
  VOLUME_SHRINK: row(146, 'rejected', 133, 500, 0, 'Volume capacity can only be increased'),
  VOLUME_SIZE_ILLEGAL: row(
    147,
    'rejected',
    225,
    400,
    0,
    'Illegal volume size: {reason}. The volume size must be a multiple of 8 GB',
  ),
  NAME_TOO_LONG: row(148, 'rejected', 226, 400, 0, 'The name is too long: at most 31 characters'),
  NAME_INVALID: row(149, 'rejected', 227, 400, 0, 'The name is invalid: {reason}'),
  ONLY_ONE_MAPPING: row(
    150,
    'rejected',
    306,
    500,
    0,
    'Only a single SDC may be mapped to this volume at a time',
  ),
  CAPACITY_EXCEEDED: row(
    151,
    'rejected',
    300,
    500,
    0,
    'Requested volume size exceeds the volume allocation limit: {reason}',
  ),
  TOO_MANY: row(152, 'rejected', 49, 500, 0, 'Too many objects: {reason}'),
  POOL_NOT_FOUND: row(153, 'rejected', 171, 500, 0, 'Could not find the Storage Pool'),
  POOL_NAME_IN_USE: row(154, 'rejected', 173, 500, 0, 'Storage Pool name already in use'),
  POOL_HAS_VOLUMES: row(155, 'rejected', 196, 500, 0, 'Storage Pool has volumes'),
  POOL_HAS_DEVICES: row(156, 'rejected', 172, 500, 0, 'Storage Pool has devices'),
  POOL_TOO_SMALL: row(
    157,
    'rejected',
    144,
    500,
    0,
    'The Storage Pool needs devices of at least two SDSs or fault sets: {reason}',
  ),
  DOMAIN_NOT_FOUND: row(158, 'rejected', 142, 500, 0, 'Could not find the Protection Domain'),
  DOMAIN_NAME_IN_USE: row(159, 'rejected', 141, 500, 0, 'Protection Domain name already in use'),
  DOMAIN_HAS_SDS: row(160, 'rejected', 143, 500, 0, 'Protection Domain has SDSs'),
  DOMAIN_HAS_POOLS: row(161, 'rejected', 176, 500, 0, 'Protection Domain has Storage Pools'),
  SDS_NOT_FOUND: row(162, 'rejected', 78, 500, 0, 'Could not find the SDS'),
  SDS_NAME_IN_USE: row(163, 'rejected', 98, 500, 0, 'SDS name already in use'),
  SDS_ADDRESS_IN_USE: row(164, 'rejected', 93, 500, 0, 'An SDS with this address already exists'),
  SDS_NOT_CONNECTED: row(165, 'rejected', 69, 500, 0, 'Could not connect to the SDS: {reason}'),
  SDS_HAS_DATA: row(
    166,
    'rejected',
    136,
    500,
    0,
    'Removing the SDS would leave data without a second copy: {reason}',
  ),
  SDS_OF_OTHER_SYSTEM: row(
    185,
    'rejected',
    77,
    500,
    0,
    'The SDS belongs to another system: {reason}',
  ),
  DEVICE_NOT_FOUND: row(167, 'rejected', 126, 500, 0, 'Could not find the device'),
  DEVICE_IN_USE: row(168, 'rejected', 100, 500, 0, 'The device is already part of this system'),
  DEVICE_FOREIGN: row(169, 'rejected', 342, 500, 0, 'The device carries foreign data: {reason}'),
  DEVICE_TOO_SMALL: row(170, 'rejected', 207, 500, 0, 'The device is too small: {reason}'),
  DEVICE_OPEN_FAILED: row(171, 'rejected', 71, 500, 0, 'The device could not be opened: {reason}'),
  DEVICE_IO_FAILED: row(172, 'rejected', 73, 500, 0, 'The device failed its test: {reason}'),
  SDC_NAME_IN_USE: row(173, 'rejected', 276, 500, 0, 'SDC name already in use'),
  SDC_HAS_MAPPINGS: row(174, 'rejected', 180, 500, 0, 'Volumes are mapped to the SDC'),
  SDC_CONNECTED: row(175, 'rejected', 298, 500, 0, 'The SDC must be disconnected first'),
  FAULT_SET_NOT_FOUND: row(176, 'rejected', 265, 500, 0, 'Could not find the Fault Set'),
  FAULT_SET_NAME_IN_USE: row(177, 'rejected', 266, 500, 0, 'Fault Set name already in use'),
  FAULT_SET_HAS_SDS: row(178, 'rejected', 268, 500, 0, 'Fault Set has SDSs'),
  USER_NOT_FOUND: row(179, 'rejected', 234, 500, 0, 'Could not find the user'),
  USER_EXISTS: row(180, 'rejected', 250, 500, 0, 'The user already exists'),
  PASSWORD_REJECTED: row(181, 'rejected', 167, 400, 0, 'The password is not acceptable: {reason}'),
  REMOVE_MODE_ILLEGAL: row(
    182,
    'rejected',
    62,
    400,
    0,
    'removeMode must be ONLY_ME, INCLUDING_DESCENDANTS, DESCENDANTS_ONLY or WHOLE_VTREE',
  ),
  LIMIT_ILLEGAL: row(183, 'rejected', 64, 400, 0, '{reason}'),
  ZERO_PADDING_LOCKED: row(
    184,
    'rejected',
    262,
    500,
    0,
    'Zero padding cannot be changed while the Storage Pool has devices',
  ),

  // Policies: 224 .. 239.
  SPARE_ILLEGAL: row(224, 'rejected', 316, 500, 0, 'Invalid spare percentage: {reason}'),
  FAULT_SET_MISMATCH: row(
    225,
    'rejected',
    272,
    500,
    0,
    'The Fault Set belongs to another Protection Domain',
  ),
  DOMAIN_IN_USE: row(
    226,
    'rejected',
    104,
    500,
    0,
    'Clients use volumes of the Protection Domain: {reason}',
  ),

  SDS_IN_MAINTENANCE: row(227, 'rejected', 537, 500, 0, 'The SDS is in maintenance mode'),
  SDS_NOT_IN_MAINTENANCE: row(
    228,
    'rejected',
    538,
    500,
    0,
    'The SDS is not in maintenance mode: {reason}',
  ),
  MAINTENANCE_CONFLICT: row(
    229,
    'rejected',
    539,
    500,
    0,
    'Maintenance mode is not possible now: {reason}',
  ),
  MAINTENANCE_NO_ROOM: row(
    230,
    'rejected',
    541,
    500,
    0,
    'Not enough capacity for protected maintenance mode: {reason}',
  ),
  MAINTENANCE_UNSAFE: row(
    231,
    'rejected',
    697,
    500,
    0,
    'Maintenance mode would leave data without a copy: {reason}',
  ),
  SDS_MOVING: row(
    233,
    'rejected',
    145,
    500,
    0,
    'An SDS is on its way to another Protection Domain: {reason}',
  ),
  DOMAIN_HAS_FAULT_SETS: row(232, 'rejected', 269, 500, 0, 'Protection Domain has Fault Sets'),

  // Node agent: 192 .. 207.
  JOB_DIFFERS: row(192, 'rejected', 0, 409, 0, 'Another job has this id: {reason}'),
  JOBS_FULL: row(193, 'retry', 32, 503, 0, 'Too many jobs wait on this node'),
  SIGNATURE_REFUSED: row(194, 'denied', 0, 403, 0, 'The package file is not trusted: {reason}'),
  PACKAGE_REFUSED: row(195, 'rejected', 0, 400, 0, 'The package file is refused: {reason}'),

  // MDM cluster: 208 .. 223.
  STORE_FULL: row(
    208,
    'rejected',
    1,
    503,
    0,
    'Nothing can be changed: the metadata store of the MDM cluster is full (etcd alarm NOSPACE)',
  ),
  MDM_NOT_FOUND: row(209, 'rejected', 555, 500, 0, 'Could not find the MDM'),
  MDM_EXISTS: row(210, 'rejected', 557, 500, 0, 'The MDM is known already: {reason}'),
  MDM_NOT_CONNECTED: row(211, 'rejected', 552, 500, 0, 'Could not connect to the MDM: {reason}'),
  MDM_ELSEWHERE: row(212, 'rejected', 582, 500, 0, 'The MDM cannot be taken in: {reason}'),
  MDM_ROLE_WRONG: row(213, 'rejected', 561, 500, 0, 'Wrong MDM role: {reason}'),
  MDM_COUNT_WRONG: row(214, 'rejected', 560, 500, 0, 'Wrong number of MDMs: {reason}'),
  MDM_IN_CLUSTER: row(215, 'rejected', 563, 500, 0, 'The MDM is a member of the cluster: {reason}'),
  MDM_NOT_IN_CLUSTER: row(216, 'rejected', 562, 500, 0, 'The MDM is no member of the cluster'),
  CLUSTER_MODE_SAME: row(217, 'rejected', 558, 500, 0, 'The MDM cluster is in this mode already'),
  CLUSTER_BUSY: row(218, 'retry', 707, 500, 0, 'The MDM cluster is being changed'),
  CLUSTER_DEGRADED: row(219, 'rejected', 124, 500, 0, 'The MDM cluster is degraded: {reason}'),
  MASTER_STAYS: row(
    220,
    'rejected',
    566,
    500,
    0,
    'The master cannot be removed: switch the ownership first',
  ),
  ALREADY_MASTER: row(221, 'rejected', 565, 500, 0, 'The MDM is the master already'),
  ALREADY_CONFIGURED: row(222, 'rejected', 551, 500, 0, 'MDM already configured'),
  CLUSTER_VERSION_LOW: row(
    250,
    'rejected',
    336,
    500,
    0,
    'The cluster version is {cluster}, this needs {needed}: every component has to be upgraded, then the upgrade has to be finished',
  ),
  CLUSTER_VERSION_WRONG: row(
    251,
    'rejected',
    336,
    500,
    0,
    'The cluster version cannot be {wanted}: it is {cluster}, is never lowered, and this MDM speaks up to {newest}',
  ),
  COMPONENTS_OLD: row(
    252,
    'rejected',
    336,
    500,
    0,
    'Not every component is known to speak version {wanted}: {components}',
  ),
  CLUSTER_UNCHANGED: row(223, 'rejected', 642, 500, 0, 'The MDM cluster stays as it was: {reason}'),
} as const satisfies Record<string, ErrorRow>;
