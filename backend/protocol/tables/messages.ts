// THE wire table: the only place where a message number or a field order exists. Numbers are never reused; a removed
// row stays with `until`. It must never hold behaviour.
//
// Every frame starts with a 64-byte header. Its first 24 bytes are the same for all (FRAME_HEAD); the other 40 are
// zero in control frames and hold DATA_HEAD in data frames. Control bodies are the fields of the row, in order.
// Data bodies are raw: for payloads one u32 CRC per block touched, then the bytes.

import { bool, bytes, choice, list, optional, str, struct, u16, u32, u53, u8 } from './fields.js';
import type { Field } from './fields.js';
import { LIMITS } from './limits.js';

/** The oldest version that is still spoken, and the newest. */
export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 2;
/** Versions up to this one are out: their rows keep their bytes for ever (test/golden). Release 0.1.0 speaks version 1. */
export const PROTOCOL_VERSION_RELEASED = 1;

export const FRAME_MAGIC = 0x534d; // "MS" in memory order

/** Fixed fields of every frame, with their offsets in bytes. */
export const FRAME_HEAD = {
  magic: { at: 0, type: 'u16', about: 'FRAME_MAGIC' },
  version: { at: 2, type: 'u8', about: 'protocol version of the link' },
  combLog2: {
    at: 3,
    type: 'u8',
    about: 'data frames: log2 of the number of combs that the sender knows; else 0',
  },
  code: { at: 4, type: 'u16', about: 'message code' },
  status: { at: 6, type: 'u16', about: 'answers: 0 or an error code' },
  bodyBytes: { at: 8, type: 'u32', about: 'length of what follows the header' },
  headerCrc: { at: 12, type: 'u32', about: 'CRC-32 of the header with this field zero' },
  bodyCrc: {
    at: 16,
    type: 'u32',
    about:
      'control frames: CRC-32 of the body; data frames: CRC-32 of the u32 block CRCs, or of the whole body where it has none',
  },
  tag: { at: 20, type: 'u32', about: 'chosen by the asker, returned in the answer' },
} as const;

/** The other 40 bytes of a data frame. */
export const DATA_HEAD = {
  comb: { at: 24, type: 'u32', about: 'comb number in the pool' },
  generationEpoch: { at: 28, type: 'u32', about: 'generation that the sender knows (C1)' },
  generationNumber: { at: 32, type: 'u32', about: 'generation that the sender knows (C1)' },
  volumeKey: { at: 36, type: 'u32', about: 'volume' },
  volumeEpoch: { at: 40, type: 'u32', about: 'volume epoch that the sender knows (C1)' },
  authority: {
    at: 44,
    type: 'u32',
    about: 'from a client: mapping generation (C1); from a primary: run number of the client',
  },
  chunkIndex: { at: 48, type: 'u32', about: 'chunk of the volume' },
  offsetSectors: { at: 52, type: 'u16', about: 'first sector in the chunk' },
  lengthSectors: { at: 54, type: 'u16', about: 'sectors; 0 where not used' },
  opLow: { at: 56, type: 'u32', about: 'operation id within the client run, low 32 bits (C10)' },
  opHigh: { at: 60, type: 'u16', about: 'operation id, high 16 bits' },
  flags: { at: 62, type: 'u16', about: 'DATA_FLAGS' },
} as const;

export const DATA_FLAGS = {
  fua: { bit: 0, about: 'acknowledge only from media, whatever the durability mode' },
  discard: { bit: 1, about: 'ZERO: space may be given back' },
  retry: { bit: 2, about: 'this operation was sent before' },
  copied: {
    bit: 3,
    about:
      'PEER_WRITE, PEER_ZERO: content of the sender, not an operation of a client; PEER_ACK: copies are to wait',
  },
  masks: {
    bit: 4,
    about:
      'PEER_WRITE, PEER_ZERO: other layers lie below, and zeroes hide what they hold. Only with snapshots',
  },
} as const;

/** Feature bits of HELLO: both ends use what both name. Bits are never reused. */
export const FEATURES = {
  describe: { bit: 0, about: 'DESCRIBE of a chunk' },
} as const;

export interface MessageRow {
  readonly code: number;
  readonly since: number;
  readonly until?: number;
  readonly about: string;
  /** Code name of the answer, for requests. */
  readonly answer?: string;
  /** control: fields in the body. data: DATA_HEAD in the header, raw body. */
  readonly head: 'control' | 'data';
  readonly fields: readonly Field[];
}

const control = (
  code: number,
  about: string,
  fields: readonly Field[],
  answer?: string,
): MessageRow => ({
  code,
  since: 1,
  about,
  head: 'control',
  fields,
  ...(answer === undefined ? {} : { answer }),
});
const data = (
  code: number,
  about: string,
  answer?: string,
  fields: readonly Field[] = [],
): MessageRow => ({
  code,
  since: 1,
  about,
  head: 'data',
  fields,
  ...(answer === undefined ? {} : { answer }),
});

export const MESSAGES = {
  // 0x01xx: opening a link. Nothing else is accepted before WELCOME with status 0.
  HELLO: control(
    0x0101,
    'First frame of whoever connects.',
    [
      u8('versionMin', 'lowest protocol version it speaks'),
      u8('versionMax', 'highest protocol version it speaks'),
      u32('features', 'feature bits it understands'),
      choice('role', 'role', 'what it is'),
      u32('key', 'object key it claims: SDS, device, SDC; 0: none yet'),
      u32('incarnation', 'of the process or device'),
      u32('run', 'client run number, 0 where none'),
      u16('link', 'number of this link between the two, from 0'),
      u32('linkEpoch', 'raised by the client at each new link of that number (C10)'),
      str('systemId', 16, '16 hex digits, or empty when it belongs to no system yet'),
      choice('targetRole', 'role', 'whom it wants to talk to'),
      u32('targetKey', 'object key that it expects to answer, 0: any'),
      bytes('nonce', 32, '32 random bytes'),
    ],
    'CHALLENGE',
  ),
  CHALLENGE: control(
    0x0102,
    'The acceptor proves that it holds the secret.',
    [
      u8('version', 'protocol version that both will speak'),
      u32('features', 'feature bits that both will use'),
      choice('role', 'role', 'what it is'),
      u32('key', 'object key'),
      u32('incarnation', 'of the process or device'),
      str('systemId', 16, 'system it belongs to, or empty'),
      bytes('nonce', 32, '32 random bytes'),
      bytes(
        'proof',
        32,
        'HMAC-SHA-256 under the system secret of "acceptor", HELLO and this frame without the proof',
      ),
    ],
    'PROOF',
  ),
  PROOF: control(
    0x0103,
    'Whoever connected proves that it holds the secret.',
    [
      bytes(
        'proof',
        32,
        'HMAC-SHA-256 under the system secret of "initiator", HELLO and CHALLENGE',
      ),
    ],
    'WELCOME',
  ),
  WELCOME: control(0x0104, 'The link is open, or the status says why not.', [
    str('reason', LIMITS.reasonBytesMax.value, 'empty, or for people'),
  ]),
  PING: control(0x0105, 'Is the other end alive.', [], 'PONG'),
  PONG: control(0x0106, 'It is.', []),

  // 0x02xx: components and the MDM.
  REGISTER_SDS: control(
    0x0201,
    'A control process announces itself; sent again after every reconnect.',
    [
      str('guid', LIMITS.guidBytesMax.value, 'identity it generated at its first start'),
      list('addresses', struct('address', 'Address', ''), LIMITS.addressesMax.value, 'its own'),
      u16('port', 'control port'),
      str('version', 32, 'software version'),
      list(
        'devices',
        struct('device', 'FoundDevice', ''),
        LIMITS.devicesPerSdsMax.value,
        'devices with our signature that it found',
      ),
      str('systemId', 16, 'system that took it in last and did not let it go; or empty'),
    ],
    'REGISTER_SDS_REPLY',
  ),
  REGISTER_SDS_REPLY: control(
    0x0202,
    'Who it is. sdsKey 0: not added to a protection domain yet; wait.',
    [u32('sdsKey', 'its object key or 0'), str('systemId', 16, 'system')],
  ),
  DEVICE_WANTS: control(
    0x0203,
    'All that the MDM wants of the devices of an SDS: level-triggered, complete.',
    [
      u32('sdsKey', 'whom it is for'),
      str('systemId', 16, 'system; written on devices at format'),
      list(
        'wants',
        struct('want', 'DeviceWant', ''),
        LIMITS.devicesPerSdsMax.value,
        'one per device',
      ),
      u53('cacheBytes', 'RAM read cache of all devices together', { since: 2, absent: 0 }),
    ],
  ),
  DEVICE_RESULT: control(
    0x0204,
    'What became of a wish. Task open with NOT_READY: the data process ended and is started again; with DEVICE_FAILED: it ended for good (C14).',
    [
      u32('deviceKey', 'device'),
      choice('task', 'deviceTask', 'what was asked'),
      u16('status', '0 or an error code'),
      str('reason', LIMITS.reasonBytesMax.value, 'for people'),
      str('path', LIMITS.pathBytesMax.value, 'where the device is'),
      u53('capacityBytes', 'for chunks'),
      str('mediaFound', 16, 'HDD or SSD; empty: not known', { since: 2, absent: '' }),
    ],
  ),
  REGISTER_DEVICE: control(
    0x0205,
    'A data process announces the device that it opened; sent again after every reconnect.',
    [
      u32('deviceKey', 'written on the device'),
      u32('sdsKey', 'its SDS'),
      u32('incarnation', 'of this open, durable on the device before this message'),
      u32(
        'dataIncarnation',
        'incarnation whose data the device carries on from: the previous one, or 0 after a format',
      ),
      bool(
        'rolledBack',
        'acknowledged writes may be missing: the host booted since, and the mode was volatile',
      ),
      u16('port', 'data port'),
      str('version', 32, 'software version'),
      struct('usage', 'Usage', 'how full it is'),
      u32('epoch', 'highest cluster epoch of the entries that it remembers', {
        ...{ since: 2, absent: 0 },
      }),
    ],
    'REGISTER_DEVICE_REPLY',
  ),
  REGISTER_DEVICE_REPLY: control(0x0206, 'The timing that the system agreed on.', [
    u32('leaseMs', 'C5'),
    u32('detectionMs', 'C5'),
    u32('driftPercent', 'bound on the difference of clock rates'),
  ]),
  HEARTBEAT: control(
    0x0207,
    'Progress of a component and what it has applied.',
    [
      u53(
        'progress',
        'raised by completed work or by an idle turn of the loop that does the work (C14)',
      ),
      u53('appliedSequence', 'map sequence that is applied and whose revoked I/O is drained (C13)'),
      optional(struct('usage', 'Usage', 'of a device')),
      u32('listedAfter', 'the lists say everything about keys above this one'),
      u32('listedThrough', 'and up to this one; longer lists come in parts, over and over'),
      list(
        'counters',
        struct('counter', 'Counter', ''),
        LIMITS.countersMax.value,
        'per volume, and of the device itself whatever its key',
      ),
      list(
        'volumes',
        struct('volume', 'VolumeUsage', ''),
        LIMITS.countersMax.value,
        'allocated capacity, of a device',
      ),
    ],
    'HEARTBEAT_REPLY',
  ),
  HEARTBEAT_REPLY: control(0x0208, 'The master heard it.', [u53('term', 'of the master')]),
  REGISTER_SDC: control(
    0x0209,
    'A client host announces itself; sent again after every reconnect, with its run.',
    [
      str('guid', LIMITS.guidBytesMax.value, 'of the host'),
      str('name', LIMITS.nameBytesMax.value, 'host name, may be empty'),
      list('addresses', struct('address', 'Address', ''), LIMITS.addressesMax.value, 'its own'),
      str('version', 32, 'software version'),
      u32('run', 'run number that it got before in this life, 0: none'),
      bool('zeroGuid', 'programs on this host see the GUID of zeroes in place of its own'),
    ],
    'REGISTER_SDC_REPLY',
  ),
  REGISTER_SDC_REPLY: control(0x020a, 'Who it is.', [
    u32('sdcKey', 'its object key'),
    u32('run', 'run number of this life of the client'),
    bool('approved', 'false: no volume will be offered'),
    str('systemId', 16, 'system'),
  ]),
  MAP_UPDATE: control(
    0x0210,
    'What changed for this subscriber. full: forget everything known before. Applied when last is true.',
    [
      u53('term', 'of the master'),
      u53('sequence', 'commit that this update brings the subscriber to'),
      bool('full', 'first part of a complete map'),
      bool('last', 'no further part belongs to this update'),
      list('pools', struct('pool', 'MapPool', ''), LIMITS.poolsMax.value, 'new or changed'),
      list('combs', struct('combs', 'MapCombs', ''), 64, 'new or changed'),
      list(
        'devices',
        struct('device', 'MapDevice', ''),
        LIMITS.queryItemsMax.value,
        'new or changed',
      ),
      list(
        'volumes',
        struct('volume', 'MapVolume', ''),
        LIMITS.queryItemsMax.value,
        'new or changed',
      ),
      list(
        'mappings',
        struct('mapping', 'Mapping', ''),
        LIMITS.queryItemsMax.value,
        'new or changed',
      ),
      list('removedDevices', u32('key', ''), LIMITS.queryItemsMax.value, 'keys'),
      list('removedVolumes', u32('key', ''), LIMITS.queryItemsMax.value, 'keys'),
      list(
        'removedMappings',
        struct('mapping', 'Mapping', ''),
        LIMITS.queryItemsMax.value,
        'as they were',
      ),
      u32('clusterVersion', 'version that every component speaks; gates disk formats', {
        since: 2,
        absent: 1,
      }),
      list('merges', struct('merge', 'Merge', ''), LIMITS.queryItemsMax.value, 'new or changed', {
        ...{ since: 2, absent: [] },
      }),
      list(
        'removedMerges',
        u32('parentKey', ''),
        LIMITS.queryItemsMax.value,
        'layers: no longer merged, done or not',
        { since: 2, absent: [] },
      ),
      list(
        'goneVolumes',
        u32('key', ''),
        LIMITS.queryItemsMax.value,
        'volumes that are removed, as in removedVolumes, but chunks of a layer with their key stay',
        { since: 2, absent: [] },
      ),
      list(
        'removedLayers',
        u32('key', ''),
        LIMITS.queryItemsMax.value,
        'layers whose chunks are freed; a volume of the same key may stay',
        { since: 2, absent: [] },
      ),
    ],
  ),
  DEVICE_BUDGET: {
    ...control(
      0x0211,
      'To a data process, at its registration and when it changes: what changes of thin volumes leave free on its device.',
      [u53('keptBytes', 'for copies that have to be made anew, and for thick volumes')],
    ),
    since: 2,
  },
  COMB_CHANGE: control(
    0x0220,
    'A primary asks for committed changes of combs (C2).',
    [
      u32('poolKey', 'storage pool'),
      list(
        'changes',
        struct('change', 'CombChangeRequest', ''),
        LIMITS.combsPerPage.value,
        'each decided alone',
      ),
    ],
    'COMB_CHANGE_REPLY',
  ),
  COMB_CHANGE_REPLY: control(
    0x0221,
    'Per change 0 or an error; committed entries come by MAP_UPDATE before this.',
    [list('statuses', u16('status', ''), LIMITS.combsPerPage.value, 'in the order asked')],
  ),
  COMBS_WANTED: {
    ...control(
      0x0224,
      'To a data process: what its device remembers of combs. Answered by COMBS_REMEMBERED.',
      [u32('from', 'combs of this number and above')],
    ),
    since: 2,
  },
  COMBS_REMEMBERED: {
    ...control(
      0x0225,
      'What the device remembers of combs, whatever its map says. Combs between the first and the last number that are not listed it does not know.',
      [
        u32('poolKey', 'storage pool'),
        u32('from', 'first number that this is about'),
        u32('through', 'last number that this is about'),
        bool('more', 'there may be combs above'),
        list('memories', struct('memory', 'CombMemory', ''), LIMITS.combsPerPage.value, ''),
      ],
    ),
    since: 2,
  },
  LAYERS_WANTED: {
    ...control(
      0x0226,
      'To a data process: of which layers its device holds chunks. Answered by LAYERS_REMEMBERED.',
      [u32('after', 'layers of a higher key')],
    ),
    since: 2,
  },
  LAYERS_REMEMBERED: {
    ...control(0x0227, 'Layers of which the device holds chunks, in ascending order of key.', [
      u32('after', 'as asked'),
      bool('more', 'there may be layers above the last one'),
      list('layers', struct('layer', 'LayerAt', ''), LIMITS.queryItemsMax.value, ''),
    ]),
    since: 2,
  },
  CUT_HOLD: {
    ...control(
      0x0228,
      'To every data process of the pools concerned: start no change of these volumes until the cut is switched or dropped, and say when all that ran here as primary is settled. Sent again until it is answered.',
      [
        u53('cut', 'never reused'),
        list('volumes', u32('volumeKey', ''), LIMITS.cutVolumesMax.value, 'of the pool'),
        u32('holdMs', 'after that the hold ends by itself, and never certifies'),
      ],
    ),
    since: 2,
  },
  CUT_HELD: {
    ...control(0x0229, 'Answer to CUT_HOLD, as often as it is asked.', [
      u53('cut', 'which'),
      u32('deviceKey', 'device'),
      u32('incarnation', 'life of it that holds'),
      bool('ok', 'nothing is running any more and nothing begins'),
      str('reason', LIMITS.reasonBytesMax.value, 'why not'),
    ]),
    since: 2,
  },
  CUT_SWITCHED: {
    ...control(
      0x022a,
      'The map in which volumes name this cut is applied. Sent at that, and as an answer to CUT_HOLD after that.',
      [
        u53('cut', 'which'),
        u32('deviceKey', 'device'),
        u32('incarnation', 'life of it that held'),
        bool('certified', 'the hold was unbroken from CUT_HELD to the map'),
      ],
    ),
    since: 2,
  },
  CUT_DROP: {
    ...control(0x022b, 'The cut is called off or decided: holds of it end.', [u53('cut', 'which')]),
    since: 2,
  },
  COMB_QUERY: control(
    0x0222,
    'A data process asks for the entries of combs that it remembers and that its map does not name.',
    [
      u32('poolKey', 'storage pool'),
      list('combs', u32('comb', 'comb number'), LIMITS.combsPerPage.value, 'which'),
    ],
    'COMB_QUERY_REPLY',
  ),
  COMB_QUERY_REPLY: control(0x0223, 'The present entries; combs that do not exist are left out.', [
    list('entries', struct('entry', 'CombEntry', ''), LIMITS.combsPerPage.value, 'as committed'),
  ]),

  // 0x03xx: management.
  QUERY: control(
    0x0301,
    'Objects of one type, in ascending order of key.',
    [
      choice('type', 'objectType', 'which'),
      list('keys', u32('key', ''), LIMITS.queryItemsMax.value, 'only these; empty: all'),
      u32('after', 'continue behind this key; 0: from the start'),
    ],
    'QUERY_REPLY',
  ),
  QUERY_REPLY: control(
    0x0302,
    'At most queryItemsMax objects; the lists of other types are empty. Mappings are ordered by volume, then SDC, and `after` is the volume.',
    [
      bool('more', 'ask again behind the last key'),
      list('systems', struct('o', 'System', ''), 1, ''),
      list('domains', struct('o', 'ProtectionDomain', ''), LIMITS.queryItemsMax.value, ''),
      list('pools', struct('o', 'StoragePool', ''), LIMITS.queryItemsMax.value, ''),
      list('faultSets', struct('o', 'FaultSet', ''), LIMITS.queryItemsMax.value, ''),
      list('sds', struct('o', 'Sds', ''), LIMITS.queryItemsMax.value, ''),
      list('devices', struct('o', 'Device', ''), LIMITS.queryItemsMax.value, ''),
      list('sdcs', struct('o', 'Sdc', ''), LIMITS.queryItemsMax.value, ''),
      list('volumes', struct('o', 'Volume', ''), LIMITS.queryItemsMax.value, ''),
      list('mappings', struct('o', 'Mapping', ''), LIMITS.queryItemsMax.value * 2, ''),
      list('users', struct('o', 'User', ''), LIMITS.queryItemsMax.value, ''),
      list('approvedSdcs', struct('o', 'ApprovedSdc', ''), LIMITS.queryItemsMax.value, ''),
      list(
        'combPages',
        struct('o', 'CombPage', ''),
        32,
        'keys are page numbers; the pool is the query key',
      ),
      list('attachments', struct('o', 'Attachment', ''), LIMITS.queryItemsMax.value, ''),
      list('layers', struct('o', 'Layer', ''), LIMITS.queryItemsMax.value, '', {
        ...{ since: 2, absent: [] },
      }),
      list('policies', struct('o', 'SnapshotPolicy', ''), LIMITS.queryItemsMax.value, '', {
        ...{ since: 2, absent: [] },
      }),
    ],
  ),
  STATUS_QUERY: control(
    0x0303,
    'What the MDM has seen of SDSs, devices, SDCs, volumes or storage pools.',
    [
      choice('type', 'objectType', 'sds, device, sdc, volume or storagePool'),
      list('keys', u32('key', ''), LIMITS.queryItemsMax.value, 'only these; empty: all'),
      u32('after', 'continue behind this key; 0: from the start'),
    ],
    'STATUS_QUERY_REPLY',
  ),
  STATUS_QUERY_REPLY: control(0x0304, 'In ascending order of key.', [
    bool('more', 'ask again behind the last key'),
    list('statuses', struct('status', 'RuntimeStatus', ''), LIMITS.queryItemsMax.value, ''),
    list(
      'volumes',
      struct('volume', 'VolumeStatus', ''),
      LIMITS.queryItemsMax.value,
      'of a volume query: allocated on all devices together',
    ),
    list('pools', struct('pool', 'PoolStatus', ''), LIMITS.queryItemsMax.value, 'of a pool query'),
    list(
      'vtrees',
      struct('vtree', 'VtreeStatus', ''),
      LIMITS.queryItemsMax.value,
      'of a query of type layer, whose keys are V-trees',
      { since: 2, absent: [] },
    ),
  ]),
  CLUSTER_QUERY: control(0x0305, 'Who is master, how the MDM runs.', [], 'CLUSTER_QUERY_REPLY'),
  CLUSTER_QUERY_REPLY: control(0x0306, 'State of the MDM cluster and of the whole system.', [
    u53('term', 'of the master'),
    u53('sequence', 'last commit'),
    u8('mode', '1, 3 or 5'),
    str('name', LIMITS.nameBytesMax.value, 'of the answering MDM'),
    list(
      'addresses',
      struct('address', 'Address', ''),
      LIMITS.addressesMax.value,
      'of the answering MDM',
    ),
    u16('port', 'client port'),
    str('version', 32, 'software version'),
    u32('degradedCombs', 'combs with fewer in-sync copies than wanted'),
    u32('unavailableCombs', 'combs of which no in-sync member is up'),
    u32('combs', 'all'),
    u53('upSinceMs', 'wall clock'),
    list(
      'members',
      struct('member', 'MdmMember', ''),
      LIMITS.mdmsMax.value,
      'all MDMs and tie-breakers, standbys too',
    ),
    u53('job', 'change of the MDM cluster that is under way, 0: none'),
    u53('lastJob', 'change that ended, 0: none'),
    str('lastReason', LIMITS.reasonBytesMax.value, 'why that failed, empty: it did not'),
  ]),
  MDM_NODE_QUERY: control(
    0x0331,
    'To any MDM process, master or not: what it is.',
    [],
    'MDM_NODE_REPLY',
  ),
  MDM_NODE_REPLY: control(0x0332, 'What an MDM process is.', [
    choice('state', 'mdmState', ''),
    str('token', 32, 'of the store that it takes part in, or is about to; empty: none'),
    bool('storeUp', 'that store answered it lately'),
    str('systemId', 16, 'of the system that it is the only MDM of, or empty'),
    str('version', 32, 'software version'),
    u8('protocolMax', 'highest protocol version that it speaks', { since: 2, absent: 1 }),
    str(
      'storeFault',
      LIMITS.reasonBytesMax.value,
      'why its member of the store does not run, as far as it knows',
      {
        since: 2,
        absent: '',
      },
    ),
  ]),
  MDM_NODE_TASK: control(
    0x0333,
    'From the master to a node: begin, enter or leave a store. Done twice it is done once.',
    [
      choice('task', 'mdmTask', 'what'),
      u53('term', 'of the master; a node obeys no older one than it has obeyed'),
      str('token', 32, 'of the store'),
      str('prefix', 120, 'of the keys of the system in the store'),
      u32('selfKey', 'the node'),
      list('seats', struct('seat', 'MdmSeat', ''), LIMITS.mdmsMax.value, 'members of the store'),
    ],
    'MDM_NODE_TASK_REPLY',
  ),
  MDM_NODE_TASK_REPLY: control(0x0334, 'It lasts, and was begun.', []),
  MDM_CREATE: control(
    0x0335,
    'To an MDM process without a system: make one, with a store of its own.',
    [
      str('name', LIMITS.nameBytesMax.value * 4, 'of the system'),
      str('mdmName', LIMITS.nameBytesMax.value * 4, 'of the MDM; empty: as it is configured'),
      str('adminName', LIMITS.nameBytesMax.value, 'of its first user'),
      bytes('salt', 32, 'of the password hash'),
      bytes('hash', 64, 'scrypt of the password'),
    ],
    'MDM_NODE_TASK_REPLY',
  ),
  ERROR_REPLY: control(0x03ff, 'Answer to any control request with a status other than 0.', [
    list('details', struct('detail', 'ErrorDetail', ''), 8, 'fill the places of the error text'),
  ]),

  // 0x04xx: client and primary.
  READ: data(0x0401, 'Read sectors of one chunk; the body is empty.', 'READ_REPLY'),
  READ_REPLY: data(
    0x0402,
    'Whole blocks that cover the range: their CRCs, then their bytes. All-zero runs may have bodyBytes 0.',
  ),
  WRITE: data(
    0x0403,
    'Write sectors of one chunk. Body: one CRC per block touched (of the bytes of that block present in the body), then the bytes.',
    'WRITE_REPLY',
  ),
  WRITE_REPLY: data(
    0x0404,
    'Done, or the status says why not. On a refusal for generation the body is the newer CombEntry.',
  ),
  ZERO: data(
    0x0405,
    'Write zeroes to sectors of one chunk, or discard them (DATA_FLAGS).',
    'WRITE_REPLY',
  ),
  FLUSH: data(
    0x0406,
    'Body: u32 comb numbers. Done when every acknowledged write of these combs is on media of all in-sync members (C11).',
    'FLUSH_REPLY',
  ),
  FLUSH_REPLY: data(
    0x0407,
    'Done, or the status says why not; a refusal for generation carries the newer CombEntry.',
  ),
  OPS_SETTLED: data(
    0x0408,
    'From a client, from time to time: it awaits no answer for any operation below opLow/opHigh; ids below it may be forgotten (C10), but for those in the body: u64 ids, ascending, below opLow/opHigh. To a receiver of version 1 the body is empty. Between data processes: of the client run in authority.',
  ),
  DESCRIBE: data(
    0x0409,
    'Which blocks of sectors of one chunk hold data; the body is empty. Only to who named the feature describe.',
    'DESCRIBE_REPLY',
  ),
  DESCRIBE_REPLY: data(
    0x040a,
    'Two bits per block that the range touches, the first in the lowest bits of the first byte: 0 nothing is there and it reads as zero, 1 data, 2 zeroes that were written. bodyBytes 0: nothing is there at all. On a refusal as READ_REPLY.',
  ),

  // 0x041x: primary and member. The tags of PEER_WRITE, PEER_ZERO, PEER_MERGE, PEER_FLUSH, PEER_JOIN, PEER_OPS and PEER_ACTIVE number
  // what the sender forwarded on this link: 1, 2, 3 ..., modulo 2^32.
  PEER_WRITE: data(
    0x0411,
    'Write whole blocks. Body: one CRC per block, the bytes, then u32 vtreeKey. volumeKey: the layer that is written, for a volume that never had a snapshot the volume. authority: run number of the client, 0: none.',
  ),
  PEER_ZERO: data(
    0x0412,
    'Write zeroes to whole blocks, or discard them (DATA_FLAGS). Body: u32 vtreeKey. volumeKey: as in PEER_WRITE.',
  ),
  PEER_MERGE: {
    ...data(
      0x041b,
      'The layer volumeKey takes over what another one, below it, holds of a chunk and it lacks; the chunk of that layer is empty then. Numbered as PEER_WRITE. Body: u32 vtreeKey, u32 key of the layer below.',
    ),
    since: 2,
  },
  PEER_FLUSH: control(0x0413, 'Make everything that was forwarded so far durable, soon.', []),
  PEER_ACK: data(
    0x0414,
    'The member holds everything forwarded up to and including tag durably, and up to opLow so that it survives the end of its process. authority: blocks it still has room for (C12); chunkIndex: blocks of those that changes of thin volumes leave free. Flag copied: comb, generationEpoch and generationNumber say for how many ms the sender is to begin no further copy to it, of a copy that returned, of one that is made anew, and of data that is moved. opHigh, volumeKey: upper and lower part of the LSN up to which its device is durable. No body.',
  ),
  PEER_REFUSED: data(
    0x0415,
    'The member did not apply what was forwarded under this tag; sent before any PEER_ACK that covers it. NO_SPACE, or STALE_VOLUME_EPOCH for a change of a client to a frozen layer: the member leaves the set. Body: the newer CombEntry, or nothing.',
  ),
  SETTLED: data(
    0x0416,
    'Everything forwarded up to and including tag is durable on every in-sync member. opHigh, volumeKey: as in PEER_ACK, of the sender. No body.',
  ),
  PEER_READ: data(
    0x0417,
    'A primary asks an in-sync member for whole blocks that do not verify at its own (C9). Body: u32 vtreeKey.',
    'PEER_READ_REPLY',
  ),
  PEER_READ_REPLY: data(
    0x0418,
    'As READ_REPLY: CRCs, then bytes; bodyBytes 0: all zero. The status says why not.',
  ),

  // 0x042x: leases between two devices, and the entries that they go by (C5).
  LEASE_REQUEST: control(
    0x0421,
    'Asks the receiver not to take part in any change of primary of the combs whose primary is the sender and in which the receiver is a member, for the time of a lease from the sending of this request.',
    [
      u32('number', 'returned in the grant'),
      u32('combs', 'how many combs these are by the entries of the sender'),
      u32('digestLow', 'sum of a hash of comb and generation over them, modulo 2^32'),
      u32('digestHigh', 'the same of another hash'),
    ],
    'LEASE_GRANT',
  ),
  LEASE_GRANT: control(0x0422, 'Granted, or the status says why not.', [
    u32('number', 'of the request'),
    u32('leaseMs', 'length, from the sending of the request'),
  ]),
  LEASE_RELEASE: control(
    0x0423,
    'The sender is no longer primary of these combs and serves no read of them any more.',
    [
      list(
        'combs',
        struct('comb', 'CombAt', ''),
        LIMITS.combsPerPage.value,
        'with the generation by which it knows',
      ),
    ],
  ),
  PEER_ENTRIES: control(0x0424, 'Committed entries that the receiver may lack.', [
    bool('wanted', 'send back those entries that are newer at the receiver, or missing here'),
    bool('last', 'no further part belongs to this list'),
    list('entries', struct('entry', 'CombEntry', ''), LIMITS.combsPerPage.value, 'in any order'),
  ]),

  // 0x043x: peering of one comb between its primary and another member.
  PEER_JOIN: control(
    0x0431,
    'The primary opens a comb on this link; whatever it forwards for the comb afterwards is under this entry. An answerer with a newer entry sends that in PEER_ENTRIES instead.',
    [
      struct('entry', 'CombEntry', 'committed'),
      bool('ranges', 'the answer lists ranges; otherwise its list is empty'),
    ],
    'PEER_JOINED',
  ),
  PEER_JOINED: control(
    0x0432,
    'The member goes by the entry from now on. Several parts where the list is long.',
    [
      struct('comb', 'CombAt', 'the entry that was joined'),
      struct(
        'inSyncUntil',
        'Generation',
        'of the last entry under which it was in sync; 0, 0: never',
      ),
      u53('recoveredLsn', 'up to where the log of its device reached when it was opened'),
      bool('more', 'further parts follow'),
      list(
        'ranges',
        struct('range', 'BlockRange', ''),
        LIMITS.queryItemsMax.value,
        'a member in sync: its unsettled ranges; a target: the chunks that it changed since it left',
      ),
    ],
  ),
  PEER_ACTIVE: control(
    0x0433,
    'What was unsettled in the comb before is equal on all in-sync members when everything up to this tag is durable.',
    [struct('comb', 'CombAt', '')],
  ),
  PEER_OPS: control(
    0x0434,
    'Operations of clients that the sender knows to be applied in the comb and that may be asked again (C10). A frame with fewer than combOpsMax ends the list.',
    [
      struct('comb', 'CombAt', ''),
      bool('first', 'begins a list: what is not in it need not be known any more'),
      list('ops', struct('op', 'OpId', ''), LIMITS.combOpsMax.value, 'operations'),
    ],
  ),

  // 0x044x: the background scanner.
  SCAN_FOUND: {
    ...control(0x0440, 'A member in sync tells the primary what its background scanner found.', [
      struct('comb', 'CombAt', 'by which the sender goes'),
      struct('range', 'BlockRange', 'of a layer'),
      bool('bad', 'these blocks do not verify here; false: something of this chunk is here'),
    ]),
    since: 2,
  },
  SCAN_ASK: {
    ...control(
      0x0441,
      'The primary asks a member in sync what it holds, while nothing changes there.',
      [struct('comb', 'CombAt', 'that was joined'), struct('range', 'BlockRange', 'of a layer')],
      'SCAN_SUMS',
    ),
    since: 2,
  },
  SCAN_SUMS: {
    ...control(
      0x0442,
      'What the member holds of these blocks. The status says why nothing is told.',
      [
        bool('freed', 'the layer is gone for good, as far as the member knows'),
        bytes(
          'states',
          LIMITS.scanBlocksMax.value,
          'one byte per block: 0 absent, 1 data, 2 zeroes, 3 it cannot be known any more',
        ),
        bytes('sums', 4 * LIMITS.scanBlocksMax.value, 'one u32 per block: CRC of its data, or 0'),
      ],
    ),
    since: 2,
  },
} as const satisfies Record<string, MessageRow>;
