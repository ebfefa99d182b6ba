// Structures that messages carry and the metadata store keeps. It owns their fields and bounds; it must never say how
// a structure is used. Object keys are u32, given out by one counter per system and never reused; the 16-digit hex id
// that people and REST clients see is the system's idPrefix (upper 32 bits) followed by the key.

import { bool, bytes, choice, list, optional, str, struct, u16, u32, u53, u8 } from './fields.js';
import type { StructRow } from './fields.js';
import { LIMITS } from './limits.js';

const name = (about: string): ReturnType<typeof str> =>
  str('name', LIMITS.nameBytesMax.value, about);
const key = u32('key', 'object key', { min: 1 });

export const STRUCTS = {
  Address: {
    about: 'One network address of a component.',
    fields: [
      str('host', LIMITS.hostBytesMax.value, 'IP address in text form'),
      choice('role', 'addressRole', 'traffic it is meant for'),
    ],
  },

  MdmMember: {
    about: 'An MDM or tie-breaker, as the master sees it.',
    fields: [
      key,
      str('name', LIMITS.nameBytesMax.value, ''),
      str('host', LIMITS.hostBytesMax.value, 'IP address in text form'),
      u16('port', 'for clients'),
      choice('role', 'mdmRole', ''),
      bool('member', 'it takes part in the cluster; false: standby'),
      bool('master', 'it answers'),
      bool('up', 'it answered lately, and the store of a member too'),
      str('version', 32, 'software version, empty: not known'),
      str(
        'reason',
        LIMITS.reasonBytesMax.value,
        'why it is not up, or its member of the store is not',
        {
          since: 2,
          absent: '',
        },
      ),
    ],
  },
  MdmSeat: {
    about: 'Where the store of a member of an MDM cluster is.',
    fields: [
      key,
      str('host', LIMITS.hostBytesMax.value, 'IP address in text form'),
      u16('clientPort', 'of the store, for MDMs'),
      u16('peerPort', 'of the store, among members'),
      choice('role', 'mdmRole', ''),
    ],
  },

  // Objects that the metadata store keeps. Every stored value is preceded by one format version byte.
  System: {
    about: 'The one object of its kind: identity and system-wide settings.',
    fields: [
      u32('idPrefix', 'upper half of every id', { min: 1 }),
      u32('key', 'lower half of the system id', { min: 1 }),
      name('system name'),
      str('installId', 32, '16 hex digits'),
      u53('createdAtMs', 'wall clock at creation'),
      u32('nextKey', 'next object key to give out'),
      u32('nextRun', 'next client run number to give out'),
      u32('clusterEpoch', 'raised by a metadata restore; upper part of every generation'),
      u32('clusterVersion', 'committed protocol version; gates wire and disk formats'),
      choice('approval', 'approval', 'which SDCs may register'),
      u8('capacityAlertHighPercent', 'alert threshold', { max: 100 }),
      u8('capacityAlertCriticalPercent', 'alert threshold', { max: 100 }),
      u53('secureClockMs', 'how far the secure clock was committed, 0: nothing was ever secure', {
        ...{ since: 2, absent: 0 },
      }),
    ],
  },
  ProtectionDomain: {
    about: 'A set of SDSs among which data is mirrored.',
    fields: [key, name('unique in the system'), bool('active', 'false: I/O is stopped on purpose')],
  },
  CopyPolicy: {
    about: 'What copying may take of each device of a storage pool.',
    fields: [
      choice('policy', 'copyLimits', 'which of the limits hold'),
      u8('concurrentIos', 'copies under way at a time', {
        min: 1,
        max: LIMITS.concurrentCopiesMax.value,
      }),
      u32('bandwidthKbps', 'KiB per second', { min: LIMITS.copyKbpsMin.value }),
      u32('appIops', 'requests of clients per second from which on the device counts as busy'),
      u32('appKbps', 'the same in KiB per second'),
      u32('quietMs', 'how long it has to be below both before it counts as idle'),
    ],
  },
  ScannerPolicy: {
    since: 2,
    about: 'The background scanner of a storage pool.',
    fields: [
      choice('mode', 'scannerMode', 'what it does'),
      u16('bandwidthKbps', 'KiB per second that it reads of each device', {
        min: LIMITS.scannerKbpsMin.value,
        max: LIMITS.scannerKbpsMax.value,
      }),
      choice('readErrorAction', 'scannerAction', 'about blocks that do not verify'),
      choice('compareErrorAction', 'scannerAction', 'about copies that differ'),
      u32('resets', 'how often its counters were set to zero'),
    ],
  },
  StoragePool: {
    about: 'A set of devices of one protection domain that share their data.',
    fields: [
      key,
      u32('domainKey', 'protection domain'),
      name('unique in its protection domain'),
      choice('durability', 'durability', 'when a write is acknowledged'),
      choice('fullPolicy', 'fullPolicy', 'what a write gets when the pool is full'),
      bool(
        'zeroPadding',
        'unwritten blocks read as zero; always true in effect, the switch is kept for clients',
      ),
      bool('checksums', 'persistent checksums are reported as enabled'),
      bool('rmcache', 'RAM read cache in use'),
      u8('sparePercent', 'capacity kept free for rebuilds', { max: 90 }),
      u8('capacityAlertHighPercent', 'alert threshold', { max: 100 }),
      u8('capacityAlertCriticalPercent', 'alert threshold', { max: 100 }),
      u8('combCountLog2', 'log2 of the number of combs', { max: LIMITS.combCountLog2Max.value }),
      str('mediaType', 16, 'HDD, SSD or Transitional, as the operator said'),
      bool('loneReturn', 'after a double power loss in a volatile mode one copy may return alone'),
      bool('rebuildEnabled', 'false: lost copies are neither brought up to date nor made anew'),
      bool(
        'rebalanceEnabled',
        'false: data is not moved to spread it; what is to be removed moves on',
      ),
      struct('rebuild', 'CopyPolicy', 'copies of combs that lack one'),
      struct('rebalance', 'CopyPolicy', 'copies of combs that are whole: data that is moved'),
      u8('movesPerDevice', 'combs that a device fills or is the source of at the same time', {
        min: 1,
      }),
      choice('cacheWrites', 'cacheWrites', 'what the RAM read cache takes of writes', {
        ...{ since: 2, absent: 'cached' },
      }),
      optional(
        struct('scanner', 'ScannerPolicy', 'background scanner; null: it was never set', {
          ...{ since: 2, absent: null },
        }),
      ),
    ],
  },
  UsageSample: {
    since: 2,
    about: 'What a storage pool held at a moment.',
    fields: [
      u53('atMs', 'wall clock'),
      u53('usedBytes', 'of thin volumes and snapshots, and all of thick volumes, one copy counted'),
    ],
  },
  PoolUsage: {
    since: 2,
    about: 'How the use of a storage pool went.',
    fields: [
      u32('key', 'storage pool'),
      list(
        'samples',
        struct('sample', 'UsageSample', ''),
        LIMITS.usageSamplesMax.value,
        'ascending',
      ),
    ],
  },
  FaultSet: {
    about: 'SDSs that fail together; two copies never lie in one fault set.',
    fields: [key, u32('domainKey', 'protection domain'), name('unique in its protection domain')],
  },
  Sds: {
    about: 'A storage server.',
    fields: [
      key,
      u32('domainKey', 'protection domain'),
      u32('faultSetKey', 'fault set, 0: none'),
      name('unique in the system'),
      str('guid', LIMITS.guidBytesMax.value, 'identity that the SDS process generated for itself'),
      list(
        'addresses',
        struct('address', 'Address', ''),
        LIMITS.addressesMax.value,
        'in order of preference',
      ),
      u16('port', 'control port'),
      bool('removing', 'it is removed as soon as none of its devices holds anything'),
      choice('maintenance', 'maintenance', 'none: the other field is none, too'),
      choice('maintenanceStage', 'maintenanceStage', 'how far that is'),
      optional(
        struct('move', 'SdsMove', 'it is on its way to another protection domain', {
          ...{ since: 2, absent: null },
        }),
      ),
      bool('cacheEnabled', 'RAM read cache', { since: 2, absent: true }),
      u32('cacheMiB', 'RAM that it may take, on all devices together', { since: 2, absent: 128 }),
    ],
  },
  SdsMove: {
    since: 2,
    about:
      'The way of an SDS, with all its devices, to another protection domain, pool or fault set.',
    fields: [
      choice('stage', 'sdsMoveStage', 'how far it is'),
      u32('domainKey', 'where it goes'),
      u32('faultSetKey', 'there, 0: none'),
      u32('fromDomainKey', 'where it was when that began'),
      u32('fromFaultSetKey', 'there, 0: none'),
      list(
        'devices',
        struct('device', 'MovedDevice', ''),
        LIMITS.devicesPerSdsMax.value,
        'all devices of the SDS',
      ),
    ],
  },
  MovedDevice: {
    since: 2,
    about: 'A device of an SDS on its way.',
    fields: [
      u32('deviceKey', 'the device of this moment'),
      u32('poolKey', 'where it goes'),
      u32('fromPoolKey', 'where it was when that began'),
    ],
  },
  Device: {
    about: 'A disk, partition or file of an SDS that carries data of one pool.',
    fields: [
      key,
      u32('sdsKey', 'owner'),
      u32('poolKey', 'storage pool'),
      str('name', LIMITS.nameBytesMax.value, 'unique in its SDS, may be empty'),
      str('path', LIMITS.pathBytesMax.value, 'path it was last seen under'),
      choice('state', 'deviceState', 'lifecycle'),
      u32('incarnation', 'goes up at each open of the device'),
      u53('capacityBytes', 'usable bytes for chunks'),
      bool('force', 'foreign data may be overwritten at format, only while adding'),
      str('failure', LIMITS.reasonBytesMax.value, 'why it failed, or empty'),
      u16('port', 'data port it last announced, 0: none yet'),
      bool('formatted', 'false only until its first format is reported'),
      u32('dataSince', 'incarnation in which its data began: the first after its format'),
      u32(
        'rolledBackIncarnation',
        'latest incarnation that began without acknowledged writes of the one before, 0: none',
      ),
      bool('removing', 'its data is moved away, then it is removed'),
      list(
        'replaces',
        u32('deviceKey', ''),
        LIMITS.replacedDevicesMax.value,
        'while adding: what the disk may say that it is, from before its SDS moved; it is formatted all the same',
        { since: 2, absent: [] },
      ),
      choice('slowStage', 'slowStage', 'what was done because it is slower than its peers', {
        ...{ since: 2, absent: 'none' },
      }),
      str('mediaFound', 16, 'HDD or SSD, as its SDS found it; empty: not known', {
        ...{ since: 2, absent: '' },
      }),
      str('mediaType', 16, 'HDD or SSD, as the operator said; empty: as it was found', {
        ...{ since: 2, absent: '' },
      }),
    ],
  },
  Sdc: {
    about: 'A client host.',
    fields: [
      key,
      str('name', LIMITS.nameBytesMax.value, 'may be empty'),
      str('guid', LIMITS.guidBytesMax.value, 'upper-case 8-4-4-4-12'),
      list(
        'addresses',
        struct('address', 'Address', ''),
        LIMITS.addressesMax.value,
        'as it last registered',
      ),
      bool('approved', 'may use volumes'),
      u32('run', 'run number of its latest registration; never reused by any client'),
      bool('zeroGuid', 'programs on that host see the GUID of zeroes in place of its own'),
    ],
  },
  Volume: {
    about: 'A volume or snapshot.',
    fields: [
      key,
      u32('poolKey', 'storage pool'),
      u32('vtreeKey', 'V-tree: the key of its root volume; chunks are placed by it'),
      u32('ancestorKey', 'volume that it is a snapshot of, 0: none'),
      u32('groupKey', 'consistency group of the snapshot call, 0: none'),
      name('unique in the system'),
      u53('sizeSectors', '512-byte sectors'),
      choice('provisioning', 'provisioning', 'thin or thick'),
      u32('epoch', 'raised by resize, snapshot, revert, migration and delete (C1)'),
      u53('createdAtMs', 'wall clock at creation'),
      u32('lastMappingGeneration', 'highest generation that any mapping of it had (C13)'),
      u32('layerKey', 'its top layer, the one that is written; 0: the layer with its own key', {
        ...{ since: 2, absent: 0 },
      }),
      choice('accessLimit', 'access', 'the most that a mapping may allow', {
        ...{ since: 2, absent: 'readWrite' },
      }),
      bool(
        'doubtful',
        'restored metadata may be older than its content: no client is served until an operator confirms it',
        { since: 2, absent: false },
      ),
      bool('rmcache', 'its reads use the RAM read cache where its pool does', {
        ...{ since: 2, absent: true },
      }),
      choice('fullPolicy', 'volumeFullPolicy', 'what a write gets when the pool is full', {
        ...{ since: 2, absent: 'pool' },
      }),
      u32('policyKey', 'snapshot policy that makes snapshots of it, 0: none', {
        ...{ since: 2, absent: 0 },
      }),
      u32('autoPolicyKey', 'snapshot policy that made it and will remove it, 0: none', {
        ...{ since: 2, absent: 0 },
      }),
      u53('autoRun', 'run of that policy', { since: 2, absent: 0 }),
      bool('locked', 'an auto snapshot that its policy does not remove', {
        ...{ since: 2, absent: false },
      }),
      bool('lockedExpired', 'locked, and would have been removed by now', {
        ...{ since: 2, absent: false },
      }),
      u53(
        'secureUntilMs',
        'by the secure clock of the system: nobody removes or changes it before, 0: anybody may',
        { since: 2, absent: 0 },
      ),
    ],
  },
  SnapshotPolicy: {
    since: 2,
    about:
      'Makes snapshots of its source volumes as of one moment, again and again, and removes what is older than its levels retain.',
    fields: [
      key,
      name('unique in the system'),
      u32('cadenceMin', 'minutes between two runs', {
        ...{ min: 1, max: LIMITS.policyCadenceMinMax.value },
      }),
      list(
        'retained',
        u8('count', '', { min: 1 }),
        LIMITS.policyLevelsMax.value,
        'snapshots by level: a level has every so many-th of the one before as that one retains',
      ),
      bool('paused', 'it makes and removes none'),
      choice('accessLimit', 'access', 'of its snapshots'),
      bool('secure', 'its snapshots are secure until their time is over'),
      u53('nextAtMs', 'wall clock of the next run'),
      u53('nextRun', 'number of the next run: counts cadences, also those that were missed'),
      u53('lastRunAtMs', 'wall clock of the last run that made snapshots, 0: none did'),
      u53('lastRun', 'number of that run'),
      u53('lastFailedAtMs', 'wall clock of the last run that failed, 0: none did'),
      u53('lastFailedRun', 'number of that run'),
      str('lastFailure', LIMITS.reasonBytesMax.value, 'why'),
      u32('failures', 'runs that failed, in all'),
    ],
  },
  Layer: {
    since: 2,
    about:
      'What was written to one member of a V-tree between two cuts. The top layer of a volume is written, frozen ones never are. A V-tree that never had a snapshot has none stored.',
    fields: [
      key,
      u32('poolKey', 'storage pool'),
      u32('vtreeKey', 'V-tree'),
      u32('parentKey', 'layer that a block absent here is read from, 0: none, it reads as zero'),
      u32('mergeKey', 'its only child, which takes over what it holds; 0: none'),
      u53('mergeSequence', 'commit that began that, 0: none'),
    ],
  },
  CutItem: {
    since: 2,
    about: 'A volume of a cut, and what becomes of it.',
    fields: [
      u32('volumeKey', 'volume'),
      u32('layerKey', 'its top layer once it is switched'),
      u32(
        'snapshotKey',
        'the snapshot, and the top layer of that; of a revert: the new top layer of its target',
      ),
      name('of the snapshot'),
      u32('targetKey', 'volume that is reverted to this one, 0: a snapshot is made', {
        since: 2,
        absent: 0,
      }),
    ],
  },
  Cut: {
    since: 2,
    about:
      'A group snapshot, or a revert, that is under way. Switched: volumes are written in their new layers; nothing is visible before every device certified that its hold was unbroken.',
    fields: [
      key,
      u32('groupKey', 'consistency group of the snapshots'),
      choice('stage', 'cutStage', 'how far it is'),
      choice('accessLimit', 'access', 'of the snapshots'),
      list('items', struct('item', 'CutItem', ''), LIMITS.cutVolumesMax.value, 'volumes'),
      u53('startedAtMs', 'wall clock'),
      u32('policyKey', 'snapshot policy whose run it is, 0: somebody asked', {
        ...{ since: 2, absent: 0 },
      }),
      u53('policyRun', 'number of the run', { since: 2, absent: 0 }),
      u53('policyNextMs', 'when the next run is', { since: 2, absent: 0 }),
      u53('secureUntilMs', 'of the snapshots', { since: 2, absent: 0 }),
    ],
  },
  Mapping: {
    about: 'The right of one SDC to use one volume.',
    fields: [
      u32('volumeKey', 'volume'),
      u32('sdcKey', 'SDC'),
      u32('generation', 'raised at each mapping of the volume; never reused for it (C13)'),
      choice('access', 'access', 'what the SDC may do'),
      u32('iopsLimit', '0: none'),
      u32('bandwidthLimitKbps', 'KiB a second, 0: none'),
      u32('iopsPerGib', 'for each GiB of the volume, 0: none', { since: 2, absent: 0 }),
      u32('kbpsPerGib', 'KiB a second for each GiB of the volume, 0: none', {
        since: 2,
        absent: 0,
      }),
    ],
  },
  Attachment: {
    about:
      'Who relies on a mapping: a ledger beside it. Several may share one mapping; the last one to leave takes it away.',
    fields: [
      key,
      u32('volumeKey', 'of the mapping'),
      u32('sdcKey', 'of the mapping'),
      u32('generation', 'of the mapping that it was given'),
      str(
        'holder',
        LIMITS.holderBytesMax.value,
        'chosen by who attaches, unique for the volume; empty: the mapping was there before anybody was noted',
      ),
      u53('createdAtMs', 'wall clock'),
    ],
  },
  Tombstone: {
    about:
      'A removed volume, or layer, whose chunks some device may still hold: named to devices until all have freed them.',
    fields: [
      u32('volumeKey', 'removed volume of one layer, or removed layer'),
      u32('poolKey', 'storage pool'),
      u53('sequence', 'commit that removed it'),
      bool('layerOnly', 'a layer goes; a volume of the same key may stay', {
        ...{ since: 2, absent: false },
      }),
    ],
  },
  User: {
    about: 'A person or program that manages the system.',
    fields: [
      key,
      name('login name'),
      choice('role', 'userRole', 'what it may do'),
      bytes('salt', 32, 'of the password hash'),
      bytes('hash', 64, 'scrypt of the password'),
    ],
  },
  ApprovedSdc: {
    about: 'A GUID or address that an operator approved before the SDC registered.',
    fields: [
      key,
      str('guid', LIMITS.guidBytesMax.value, 'or empty'),
      str('host', LIMITS.hostBytesMax.value, 'or empty'),
    ],
  },

  Mdm: {
    about: 'An MDM or tie-breaker of the system: member of its cluster, or standby.',
    fields: [
      key,
      name('unique in the system'),
      str('host', LIMITS.hostBytesMax.value, 'IP address in text form'),
      u16('port', 'for clients'),
      u16('clientPort', 'of its store, for MDMs'),
      u16('peerPort', 'of its store, among members'),
      choice('role', 'mdmRole', 'what it does as a member'),
      bool('member', 'it takes part in the cluster; false: standby'),
    ],
  },
  ClusterJob: {
    about: 'A change of the MDM cluster that is under way.',
    fields: [
      u53('id', 'sequence of the commit that began it'),
      str('token', 32, 'of the store that it leads to; empty: the own store of one MDM'),
      list('members', u32('key', ''), 5, 'of the cluster afterwards'),
      bool('allowFailed', 'members that leave may be out of reach'),
      u53('startedAtMs', 'wall clock'),
    ],
  },
  MdmCluster: {
    about: 'The one object of its kind: what becomes of the MDM cluster.',
    fields: [
      key,
      optional(struct('job', 'ClusterJob', 'under way')),
      u53('lastJob', 'that ended, 0: none'),
      str('lastReason', LIMITS.reasonBytesMax.value, 'why it failed, empty: it did not'),
    ],
  },

  // Combs.
  Generation: {
    about: 'Orders the entries of a comb: first by cluster epoch, then by number.',
    fields: [
      u32('epoch', 'cluster epoch'),
      u32('number', 'raised by each committed change of the comb'),
    ],
  },
  CombMember: {
    about: 'A device in one of its lives.',
    fields: [
      u32('deviceKey', 'device', { min: 1 }),
      u32('incarnation', 'life of the device that holds the data'),
    ],
  },
  CombEntry: {
    about: 'Who holds the data of one comb. Only a committed change makes a new one (C2).',
    fields: [
      u32('index', 'comb number in its pool', { max: (1 << LIMITS.combCountLog2Max.value) - 1 }),
      struct('generation', 'Generation', 'of this entry'),
      list(
        'members',
        struct('member', 'CombMember', ''),
        LIMITS.combMembersMax.value,
        'one to four',
      ),
      u8('primary', 'index into members', { max: LIMITS.combMembersMax.value - 1 }),
      u8('inSyncMask', 'bit i: members[i] holds every acknowledged write; never zero (C8)', {
        min: 1,
        max: 15,
      }),
      u8('targetMask', 'bit i: members[i] is being filled; disjoint from inSyncMask', { max: 15 }),
      u8(
        'blankMask',
        'bit i: members[i] starts from nothing, whatever it remembers of the comb; disjoint from inSyncMask',
        { max: 15 },
      ),
    ],
  },
  CombAt: {
    about: 'A comb as of one of its entries.',
    fields: [
      u32('index', 'comb number in its pool', { max: (1 << LIMITS.combCountLog2Max.value) - 1 }),
      struct('generation', 'Generation', 'of the entry'),
    ],
  },
  StoredPair: {
    since: 2,
    about: 'One key of the metadata store and its value, as they stand there.',
    fields: [bytes('key', 16, 'see the kinds of object'), bytes('value', 65536, '')],
  },
  Finding: {
    since: 2,
    about: 'A difference between the metadata and what devices carry, or what is waited for.',
    fields: [
      choice('kind', 'findingKind', ''),
      u32('deviceKey', 'device, 0: none'),
      u32('poolKey', 'storage pool, 0: none'),
      u32('comb', 'comb number, where it is about one'),
      u32('combs', 'how many combs it is about, 0: none'),
      u32('volumeKey', 'volume, 0: none'),
      str('reason', LIMITS.reasonBytesMax.value, 'for people'),
    ],
  },
  CombMemory: {
    about:
      'What a member keeps of a comb on its device, so that it never acts on an older entry (C2, C6).',
    fields: [
      struct('entry', 'CombEntry', 'newest that it adopted'),
      struct(
        'inSyncUntil',
        'Generation',
        'of the last entry under which it was in sync; 0, 0: never',
      ),
      struct(
        'changedSince',
        'Generation',
        'of the first entry after that; chunks stamped with it or a later one may differ from the copies in sync; 0, 0 while it is in sync',
      ),
    ],
  },
  BlockRange: {
    about: 'Blocks of one chunk.',
    fields: [
      u32('volumeKey', 'volume'),
      u32('vtreeKey', 'V-tree'),
      u32('chunkIndex', 'chunk of the volume'),
      u16('firstBlock', 'in the chunk'),
      u16('blockCount', 'at least one', { min: 1 }),
    ],
  },
  OpId: {
    about: 'Operation of a client (C10).',
    fields: [u32('run', 'client run'), u32('opLow', 'low 32 bits'), u16('opHigh', 'high 16 bits')],
  },
  CombPage: {
    about: 'A run of combs as the store keeps them.',
    fields: [
      u32('poolKey', 'storage pool'),
      u32('page', 'number of the page in its pool'),
      list(
        'combs',
        struct('comb', 'CombEntry', ''),
        LIMITS.combsPerPage.value,
        'consecutive, ascending',
      ),
    ],
  },

  // What subscribers see of the cluster.
  MapPool: {
    about: 'A pool as data processes and clients need it.',
    fields: [
      key,
      u8('combCountLog2', 'log2 of the number of combs', { max: LIMITS.combCountLog2Max.value }),
      choice('durability', 'durability', 'when a write is acknowledged'),
      choice('fullPolicy', 'fullPolicy', 'what a write gets when the pool is full'),
      bool('active', 'false: I/O is stopped on purpose'),
      bool('rebuildEnabled', 'false: nothing is copied to combs that lack a copy'),
      struct('rebuild', 'CopyPolicy', 'copies of combs that lack one'),
      struct('rebalance', 'CopyPolicy', 'copies of combs that are whole'),
      bool('rmcache', 'RAM read cache in use', { since: 2, absent: false }),
      choice('cacheWrites', 'cacheWrites', 'what the RAM read cache takes of writes', {
        ...{ since: 2, absent: 'passthrough' },
      }),
      optional(
        struct('scanner', 'ScannerPolicy', 'background scanner; null: off', {
          ...{ since: 2, absent: null },
        }),
      ),
    ],
  },
  MapCombs: {
    about: 'Entries of one pool.',
    fields: [
      u32('poolKey', 'storage pool'),
      list('combs', struct('comb', 'CombEntry', ''), LIMITS.combsPerPage.value, 'in any order'),
    ],
  },
  MapDevice: {
    about: 'Where the data process of a device listens.',
    fields: [
      key,
      u32('sdsKey', 'owner'),
      u32('poolKey', 'storage pool'),
      u32('incarnation', 'of its latest registration'),
      bool('up', 'the MDM sees it'),
      list('addresses', struct('address', 'Address', ''), LIMITS.addressesMax.value, 'of its SDS'),
      u16('port', 'data port, 0: not known yet'),
    ],
  },
  MapVolume: {
    about: 'A volume as data processes and clients need it.',
    fields: [
      key,
      u32('poolKey', 'storage pool'),
      u32('vtreeKey', 'V-tree'),
      u32('epoch', 'volume epoch (C1)'),
      u53('sizeSectors', '512-byte sectors'),
      bool('thin', 'thin provisioning'),
      name('volume name'),
      list(
        'layers',
        u32('layerKey', ''),
        LIMITS.layersPerVolumeMax.value,
        'its layers, top first; empty: the one with its own key. Clients get none',
        { since: 2, absent: [] },
      ),
      u53('cut', 'cut that made the top layer and is not decided yet, 0: none', {
        ...{ since: 2, absent: 0 },
      }),
      bool('active', 'false: no client is served', { since: 2, absent: true }),
      bool('rmcache', 'its reads use the RAM read cache where its pool does', {
        ...{ since: 2, absent: false },
      }),
      choice('fullPolicy', 'volumeFullPolicy', 'what a write gets when the pool is full', {
        ...{ since: 2, absent: 'pool' },
      }),
    ],
  },
  Merge: {
    since: 2,
    about:
      'A frozen layer whose only child takes over what it holds: blocks that the child lacks move there, then the chunk of the layer is gone.',
    fields: [
      u32('parentKey', 'layer that goes'),
      u32('childKey', 'layer that stays'),
      u32('vtreeKey', 'V-tree of both'),
      u32('poolKey', 'storage pool'),
    ],
  },
  LayerAt: {
    since: 2,
    about: 'A layer of which a device holds chunks.',
    fields: [u32('layerKey', 'layer'), u32('vtreeKey', 'V-tree')],
  },

  // Found, wanted and reported.
  DeviceWant: {
    about: 'What the MDM wants of a device; sent again at every registration.',
    fields: [
      u32('deviceKey', 'device'),
      u32('poolKey', 'storage pool'),
      choice('task', 'deviceTask', 'what to do'),
      str('path', LIMITS.pathBytesMax.value, 'where to look first; the signature decides'),
      bool('force', 'overwrite foreign data at format'),
      choice('durability', 'durability', 'of its pool'),
      list(
        'replaces',
        u32('deviceKey', ''),
        LIMITS.replacedDevicesMax.value,
        'format: the disk that carries one of these devices of the same system, wherever it is found',
        { since: 2, absent: [] },
      ),
      bool('rmcache', 'its pool uses the RAM read cache of the SDS', { since: 2, absent: false }),
    ],
  },
  FoundDevice: {
    about: 'A device that carries our signature.',
    fields: [
      u32('deviceKey', 'permanent id written on it'),
      u32('incarnation', 'written on it'),
      str('path', LIMITS.pathBytesMax.value, 'where it was found'),
    ],
  },
  CombChangeRequest: {
    about: 'A primary asks for one change; compare-and-set on generation and incarnation.',
    fields: [
      u32('comb', 'comb number'),
      struct('generation', 'Generation', 'of the entry that the request is based on'),
      choice(
        'change',
        'combChange',
        'shrink: take the member out of the in-sync set; admit: put it in',
      ),
      struct('member', 'CombMember', 'whom'),
    ],
  },
  Counter: {
    about: 'Totals since the start of the reporting process, for one object.',
    fields: [
      u32('key', 'object that the counters belong to: device, volume'),
      u53('readOps', 'completed'),
      u53('readBytes', 'completed'),
      u53('writeOps', 'completed'),
      u53('writeBytes', 'completed'),
      u53('trimOps', 'completed'),
      u53('trimBytes', 'completed'),
      u53('readMicros', 'summed latency'),
      u53('writeMicros', 'summed latency'),
      u53('throttledOps', 'that waited for the limit of a mapping', { since: 2, absent: 0 }),
      u53('throttledMicros', 'summed time of that', { since: 2, absent: 0 }),
      u53('cachedReadOps', 'of the reads: answered wholly from the RAM read cache', {
        ...{ since: 2, absent: 0 },
      }),
      u53('cachedReadBytes', 'of these', { since: 2, absent: 0 }),
    ],
  },
  CacheUsage: {
    since: 2,
    about: 'The RAM read cache of a device: totals since the start of its data process.',
    fields: [
      u53('sizeBytes', 'memory that it has, tables included'),
      u53('entries', 'blocks that fit'),
      u53('usedEntries', 'blocks that are in it'),
      u53('hits', 'blocks of reads that were in it'),
      u53('misses', 'blocks of reads that had to be read from the device'),
      u53('inserts', 'blocks taken in'),
      u53('evictions', 'of these: in place of another one'),
      u53('skippedLarge', 'reads that were too long for it'),
      u53('skippedUnaligned', 'reads of parts of blocks'),
      u53('rejects', 'blocks found in it that did not verify'),
      bool('failed', 'the memory that it may have could not be had'),
    ],
  },
  CopyLoad: {
    about: 'What copying does to a device, per second over the last five seconds.',
    fields: [
      u32('readOps', 'reads for copies'),
      u53('readBytes', 'read for copies'),
      u32('writeOps', 'writes of copies'),
      u53('writeBytes', 'written as copies'),
    ],
  },
  DiskTimes: {
    since: 2,
    about:
      'How long the requests of a device took, as its data process saw them: totals since its start. Those that run count with the time that they have run for.',
    fields: [
      u53('readOps', 'completed'),
      u53('readMicros', 'summed'),
      u53('writeOps', 'completed, that need not be durable'),
      u53('writeMicros', 'summed'),
      u53('flushOps', 'completed, writes that are durable by themselves included'),
      u53('flushMicros', 'summed'),
    ],
  },
  ScanCounts: {
    since: 2,
    about:
      'What the background scanner of a device found, since its process began or the counters were reset.',
    fields: [
      u53('scannedBytes', 'read and verified'),
      u32('passes', 'times that it went through the whole device'),
      u53('readErrors', 'blocks that did not verify'),
      u53('fixedReadErrors', 'of which verified again after a repair'),
      u53('comparedBytes', 'held here and, as primary, compared with the other copies'),
      u53('compareErrors', 'blocks in which another copy differed'),
      u53('fixedCompareErrors', 'of which were found equal after a repair'),
    ],
  },
  Usage: {
    about: 'How full a device is, and what it is doing.',
    fields: [
      u53('capacityBytes', 'for chunks'),
      u53('usedBytes', 'allocated to chunks'),
      u53('resyncBytesTotal', 'still to be copied from here, when the present resync began'),
      u53('resyncBytesDone', 'copied since then'),
      u32('degradedCombs', 'combs whose primary is here and that lack a copy'),
      u53(
        'rebuildBytesLeft',
        'of what is still to be copied, for copies of combs that have one only, on devices that had none',
      ),
      u53('rebalanceBytesLeft', 'the same for combs that have two copies: data that is moved'),
      struct('resync', 'CopyLoad', 'for copies that returned'),
      struct('rebuild', 'CopyLoad', 'for copies that are made anew'),
      struct('rebalance', 'CopyLoad', 'for data that is moved'),
      optional(struct('times', 'DiskTimes', 'of its disk', { since: 2, absent: null })),
      optional(
        struct('cache', 'CacheUsage', 'RAM read cache, where it has one', {
          ...{ since: 2, absent: null },
        }),
      ),
      optional(
        struct('scan', 'ScanCounts', 'of its background scanner', { since: 2, absent: null }),
      ),
    ],
  },
  VolumeUsage: {
    about: 'Allocated capacity of one volume on one device; of one layer, where it has several.',
    fields: [u32('volumeKey', 'volume or layer'), u53('usedBytes', 'allocated')],
  },
  VolumeStatus: {
    about: 'Allocated capacity of one volume on all devices together.',
    fields: [
      u32('volumeKey', 'volume'),
      u53('rawBytes', 'allocated, every copy counted'),
      u53('netBytes', 'allocated, one copy of each comb counted'),
      u53('sharedNetBytes', 'of which in layers that other volumes of its V-tree read, too', {
        ...{ since: 2, absent: 0 },
      }),
    ],
  },
  VtreeStatus: {
    since: 2,
    about: 'Allocated capacity of a V-tree on all devices together, every layer counted once.',
    fields: [
      u32('vtreeKey', 'V-tree'),
      u32('poolKey', 'storage pool'),
      u53('rawBytes', 'every copy counted'),
      u53('netBytes', 'one copy of each comb counted'),
      u53('baseNetBytes', 'of which in layers that its base volume reads'),
      u53('snapshotNetBytes', 'of which in all other layers'),
      u32('volumes', 'volumes and snapshots'),
      u32('layers', 'layers'),
      u32('merging', 'layers that are being taken over by their child'),
    ],
  },
  SnapshotSpec: {
    since: 2,
    about: 'A snapshot that is asked for.',
    fields: [
      u32('volumeKey', 'volume or snapshot'),
      str('name', LIMITS.nameBytesMax.value * 4, 'may be empty: a name is made'),
    ],
  },
  PoolStatus: {
    about: 'How the data of a storage pool is kept, and how much more it may promise.',
    fields: [
      u32('poolKey', 'storage pool'),
      u32('combs', 'all, 0: it has no placement yet'),
      u32('degradedCombs', 'with fewer in-sync copies than wanted'),
      u32('unavailableCombs', 'of which no in-sync member is up'),
      u53('netBytes', 'data that fits, spare capacity taken away'),
      u53('thinLeftBytes', 'that further thin volumes may have together'),
      u53('thickLeftBytes', 'that further thick volumes may have together'),
      u53(
        'pendingRebuildBytes',
        'of combs that lack a copy and whose rebuild did not begin, about',
      ),
      u53(
        'pendingRebalanceBytes',
        'of combs that are to be moved and whose move did not begin, about',
      ),
      u32('stuckRebuildCombs', 'that lack a copy for which no device has room'),
      u32('stuckMoveCombs', 'that are to be moved to devices without room'),
      u32('stuckResyncCombs', 'with a returned copy whose device has no room for what it lacks', {
        ...{ since: 2, absent: 0 },
      }),
      u53('growthBytesPerDay', 'as over the last week, or as much of it as was seen; 0: none', {
        ...{ since: 2, absent: 0 },
      }),
      bool('isFillingUp', 'it will be full in sight', { since: 2, absent: false }),
      u53('fullInS', 'seconds until then, at the pace of the last hours, day or week', {
        ...{ since: 2, absent: 0 },
      }),
    ],
  },
  CopyJobs: {
    since: 2,
    about: 'Combs of which a device gets or gives data, of one kind.',
    fields: [
      choice('job', 'copyJob', 'why'),
      u32('activeIn', 'it gets'),
      u32('activeOut', 'it gives'),
      u32('pendingIn', 'it is to get when its turn has come'),
      u32('pendingOut', 'it is to give then'),
    ],
  },
  RuntimeStatus: {
    about: 'What the MDM has seen of a component since it became master; never stored.',
    fields: [
      u32('key', 'SDS, device or SDC'),
      choice('liveness', 'liveness', 'connected or not'),
      str('version', 32, 'software version it announced'),
      u53('sinceMs', 'wall clock of the last change of liveness'),
      optional(struct('usage', 'Usage', 'of a device')),
      list('counters', struct('counter', 'Counter', ''), LIMITS.countersMax.value, 'latest totals'),
      list(
        'rates',
        struct('rate', 'Counter', ''),
        LIMITS.countersMax.value,
        'per second, over the last five seconds',
      ),
      u32('losses', 'how often an SDS disconnected within the last ten minutes', {
        ...{ since: 2, absent: 0 },
      }),
      list(
        'jobs',
        struct('jobs', 'CopyJobs', ''),
        LIMITS.copyJobKindsMax.value,
        'of a device, kinds with none left out',
        { since: 2, absent: [] },
      ),
    ],
  },
  DeviceSpec: {
    about: 'A device that an operator names.',
    fields: [
      u32('poolKey', 'storage pool'),
      str('path', LIMITS.pathBytesMax.value, 'on the host of the SDS'),
      str('name', LIMITS.nameBytesMax.value, 'may be empty'),
      bool('force', 'overwrite foreign data'),
    ],
  },
  DeviceTarget: {
    since: 2,
    about: 'Where a device of an SDS that moves goes.',
    fields: [u32('deviceKey', 'device of the SDS'), u32('poolKey', 'storage pool')],
  },
  ErrorDetail: {
    about: 'Fills a place in the text of an error.',
    fields: [str('name', 32, 'place'), str('value', LIMITS.reasonBytesMax.value, 'content')],
  },
} as const satisfies Record<string, StructRow>;
