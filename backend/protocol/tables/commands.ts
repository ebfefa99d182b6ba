// THE table of management commands: what changes the configuration. A command travels as a control frame whose body is
// `actor` (the user on whose behalf a trusted component asks), then the row's fields; its answer has the row's result
// fields. A command is answered only after the metadata store reports its changes flushed. Numbers are never reused.

import { bool, bytes, choice, list, optional, str, struct, u16, u32, u53, u8 } from './fields.js';
import type { Field } from './fields.js';
import { LIMITS } from './limits.js';

/** Set in the code of a command's answer; the other bits are the command's own code. */
export const COMMAND_ANSWER_BIT = 0x8000;

export interface CommandRow {
  readonly code: number;
  /** First protocol version that knows it; also the cluster version that it needs, unless `anyCluster`. */
  readonly since: number;
  /** It is run whatever the cluster version: it changes nothing that an older component would have to understand. */
  readonly anyCluster?: true;
  readonly about: string;
  /** Weakest kind of user that may ask. */
  readonly needs: 'monitor' | 'frontend' | 'backend' | 'configure' | 'administrator' | 'security';
  readonly fields: readonly Field[];
  readonly result: readonly Field[];
}

const command = (
  code: number,
  needs: CommandRow['needs'],
  about: string,
  fields: readonly Field[],
  result: readonly Field[] = [],
): CommandRow => ({ code, since: 1, about, needs, fields, result });
/** A command that came after the first release; it is refused while the cluster version is older. */
const later = (since: number, row: CommandRow): CommandRow => ({ ...row, since });

const name = (about = 'at most 31 characters'): Field =>
  str('name', LIMITS.nameBytesMax.value * 4, about);
/** More than there may be, so that the refusal can say how many there may be. */
const POLICY_LEVELS_SENT = 64;
const newKey = [u32('key', 'of the new object')];
const addresses = list(
  'addresses',
  struct('address', 'Address', ''),
  LIMITS.addressesMax.value,
  'in order of preference',
);

export const COMMANDS = {
  ADD_PROTECTION_DOMAIN: command(
    0x1001,
    'backend',
    'New protection domain, active.',
    [name()],
    newKey,
  ),
  REMOVE_PROTECTION_DOMAIN: command(
    0x1002,
    'backend',
    'It must hold no SDS, no pool and no fault set.',
    [u32('key', 'domain')],
  ),
  RENAME_PROTECTION_DOMAIN: command(0x1003, 'backend', 'New name.', [u32('key', 'domain'), name()]),
  SET_PROTECTION_DOMAIN_ACTIVE: command(
    0x1004,
    'backend',
    'Stop or allow I/O on purpose. Answered when no I/O can happen any more, else PENDING (C13).',
    [
      u32('key', 'domain'),
      bool('active', 'allow I/O'),
      bool('force', 'stop it although clients that are connected have volumes mapped'),
    ],
  ),

  ADD_STORAGE_POOL: command(
    0x1011,
    'backend',
    'New pool without devices.',
    [
      u32('domainKey', 'protection domain'),
      name(),
      str('mediaType', 16, 'HDD, SSD or Transitional'),
      choice('durability', 'durability', 'when a write is acknowledged'),
      bool('zeroPadding', 'as the client asked'),
      bool('checksums', 'as the client asked'),
      bool('rmcache', 'as the client asked'),
      u8('sparePercent', 'kept free for rebuilds', { max: 90 }),
      u8('combCountLog2', 'log2 of the number of combs; 0: the default', {
        max: LIMITS.combCountLog2Max.value,
      }),
      choice('cacheWrites', 'cacheWrites', 'what the RAM read cache takes of writes', {
        ...{ since: 2, absent: 'cached' },
      }),
    ],
    newKey,
  ),
  REMOVE_STORAGE_POOL: command(0x1012, 'backend', 'It must hold no volume and no device.', [
    u32('key', 'pool'),
  ]),
  RENAME_STORAGE_POOL: command(0x1013, 'backend', 'New name.', [u32('key', 'pool'), name()]),
  SET_STORAGE_POOL: command(0x1014, 'backend', 'Change settings; null keeps what is.', [
    u32('key', 'pool'),
    optional(choice('durability', 'durability', 'when a write is acknowledged')),
    optional(choice('fullPolicy', 'fullPolicy', 'what a write gets when the pool is full')),
    optional(bool('zeroPadding', 'reported to clients')),
    optional(bool('checksums', 'reported to clients')),
    optional(bool('rmcache', 'RAM read cache')),
    optional(u8('sparePercent', 'kept free', { max: 90 })),
    optional(u8('capacityAlertHighPercent', 'threshold', { max: 100 })),
    optional(u8('capacityAlertCriticalPercent', 'threshold', { max: 100 })),
    optional(str('mediaType', 16, 'HDD, SSD or Transitional')),
    optional(
      bool('loneReturn', 'one copy may return alone after a double power loss in a volatile mode'),
    ),
    bool('force', 'the spare may be smaller than the largest fault unit'),
    optional(
      choice('cacheWrites', 'cacheWrites', 'what the RAM read cache takes of writes', {
        ...{ since: 2, absent: null },
      }),
    ),
  ]),

  SET_POOL_COPYING: command(
    0x1015,
    'backend',
    'How lost copies are made good and data is moved; null keeps what is.',
    [
      u32('key', 'pool'),
      optional(bool('rebuildEnabled', 'false: degraded combs stay degraded')),
      optional(bool('rebalanceEnabled', 'false: data is not moved to spread it')),
      optional(struct('rebuild', 'CopyPolicy', 'limits of copies that make combs whole')),
      optional(struct('rebalance', 'CopyPolicy', 'limits of copies that spread data')),
      optional(u8('movesPerDevice', 'combs that a device takes part in the moves of', { min: 1 })),
    ],
  ),
  SET_POOL_SCANNER: later(
    2,
    command(0x101e, 'backend', 'The background scanner of a pool; null keeps what is.', [
      u32('key', 'pool'),
      optional(choice('mode', 'scannerMode', 'what it does')),
      optional(
        u16('bandwidthKbps', 'KiB per second and device', {
          min: LIMITS.scannerKbpsMin.value,
          max: LIMITS.scannerKbpsMax.value,
        }),
      ),
      optional(choice('readErrorAction', 'scannerAction', 'about blocks that do not verify')),
      optional(choice('compareErrorAction', 'scannerAction', 'about copies that differ')),
      bool('resetCounters', 'the counters of its devices begin at zero again'),
    ]),
  ),

  ADD_FAULT_SET: command(
    0x1021,
    'backend',
    'New fault set.',
    [u32('domainKey', 'domain'), name()],
    newKey,
  ),
  REMOVE_FAULT_SET: command(0x1022, 'backend', 'It must hold no SDS.', [u32('key', 'fault set')]),
  CLEAR_FAULT_SET: later(
    2,
    command(
      0x1024,
      'backend',
      'Its SDSs are units of their own from now on; no data moves, for copies that lie in two sets lie in two SDSs.',
      [u32('key', 'fault set')],
    ),
  ),
  RENAME_FAULT_SET: command(0x1023, 'backend', 'New name.', [u32('key', 'fault set'), name()]),

  ADD_SDS: command(
    0x1031,
    'backend',
    'Take a waiting SDS process (matched by address) into a protection domain, with devices.',
    [
      u32('domainKey', 'domain'),
      u32('faultSetKey', 'or 0'),
      name('may be empty: a name is made'),
      addresses,
      u16('port', 'control port; 0: the default'),
      list(
        'devices',
        struct('device', 'DeviceSpec', ''),
        LIMITS.devicesPerSdsMax.value,
        'may be empty',
      ),
      bool('forceClean', 'also if it belongs to another system, which loses it'),
      bool('cacheEnabled', 'RAM read cache', { since: 2, absent: true }),
      u32('cacheMiB', 'RAM that it may take; 0: the default', { since: 2, absent: 0 }),
    ],
    newKey,
  ),
  REMOVE_SDS: command(
    0x1032,
    'backend',
    'Moves the data of its devices away, then removes it; refused where the data has no other place.',
    [
      u32('key', 'SDS'),
      bool(
        'force',
        'forget it although it is not connected; never at the price of the last good copy',
      ),
    ],
  ),
  ABORT_REMOVE_SDS: command(0x1037, 'backend', 'It stays, and gets data again.', [
    u32('key', 'SDS'),
  ]),
  ENTER_MAINTENANCE: command(
    0x1038,
    'backend',
    'Begins maintenance of an SDS; refused where data would be left without a copy.',
    [
      u32('key', 'SDS'),
      choice('maintenance', 'maintenance', 'instant: data is left; protected: it is copied first'),
    ],
  ),
  EXIT_MAINTENANCE: command(0x1039, 'backend', 'Ends maintenance; what changed is copied back.', [
    u32('key', 'SDS'),
    bool('abort', 'only while it is being entered'),
    bool('force', 'although it is disconnected: what it holds is then made anew elsewhere'),
  ]),
  MOVE_SDS: later(
    2,
    command(
      0x103a,
      'backend',
      'Moves the data of its devices away, then takes it with all of them into another protection domain, pool or fault set; refused where the data has no other place.',
      [
        u32('key', 'SDS'),
        u32('domainKey', 'where it goes; may be its own'),
        u32('faultSetKey', 'there, or 0'),
        u32('poolKey', 'for devices that the list does not name; 0: it names all'),
        list(
          'devices',
          struct('device', 'DeviceTarget', ''),
          LIMITS.devicesPerSdsMax.value,
          'may be empty',
        ),
        bool('force', 'although the spare of the pool that it leaves will not cover the rest'),
      ],
    ),
  ),
  ABORT_MOVE_SDS: later(
    2,
    command(
      0x103b,
      'backend',
      'It stays where it was, or goes back there; its devices get data again.',
      [u32('key', 'SDS')],
    ),
  ),
  RENAME_SDS: command(0x1033, 'backend', 'New name.', [u32('key', 'SDS'), name()]),
  ADD_SDS_ADDRESS: command(0x1034, 'backend', 'One more address.', [
    u32('key', 'SDS'),
    struct('address', 'Address', 'new'),
  ]),
  REMOVE_SDS_ADDRESS: command(0x1035, 'backend', 'Not the last one.', [
    u32('key', 'SDS'),
    str('host', LIMITS.hostBytesMax.value, 'which'),
  ]),
  SET_SDS_ADDRESS_ROLE: command(0x1036, 'backend', 'What an address is for.', [
    u32('key', 'SDS'),
    struct('address', 'Address', 'with its new role'),
  ]),

  ADD_DEVICE: command(
    0x1041,
    'backend',
    'Format a device and take it into a pool.',
    [u32('sdsKey', 'SDS'), struct('device', 'DeviceSpec', 'what')],
    newKey,
  ),
  REMOVE_DEVICE: command(0x1042, 'backend', 'As REMOVE_SDS, for one device.', [
    u32('key', 'device'),
    bool('force', 'as REMOVE_SDS'),
  ]),
  CLEAR_DEVICE_ERROR: command(
    0x1043,
    'backend',
    'Try a failed device again; it returns as a copy that is not in sync.',
    [u32('key', 'device')],
  ),
  ABORT_REMOVE_DEVICE: command(0x1044, 'backend', 'It stays, and gets data again.', [
    u32('key', 'device'),
  ]),

  ADD_VOLUME: command(
    0x1051,
    'frontend',
    'New volume. A repeated request with the same name is refused, never doubled.',
    [
      u32('poolKey', 'pool'),
      name('may be empty: a name is made'),
      u53('sizeSectors', 'exact size; callers round as their interface promises', {
        min: 1,
        max: LIMITS.volumeSectorsMax.value,
      }),
      choice('provisioning', 'provisioning', 'thin or thick'),
      bool('rmcache', 'its reads use the RAM read cache', { since: 2, absent: true }),
    ],
    newKey,
  ),
  REMOVE_VOLUME: command(
    0x1052,
    'frontend',
    'None of those that go may be mapped.',
    [
      u32('key', 'volume'),
      choice('mode', 'removeMode', 'what goes with it', { since: 2, absent: 'onlyMe' }),
    ],
    [u32('removed', 'volumes and snapshots that went', { since: 2, absent: 1 })],
  ),
  RENAME_VOLUME: command(0x1053, 'frontend', 'New name.', [u32('key', 'volume'), name()]),
  RESIZE_VOLUME: command(0x1054, 'frontend', 'Grow.', [
    u32('key', 'volume'),
    u53('sizeSectors', 'new size', { min: 1, max: LIMITS.volumeSectorsMax.value }),
  ]),
  SET_VOLUME_FULL_POLICY: later(
    2,
    command(
      0x1060,
      'frontend',
      'Choose what writes get that find the pool full; it also reaches those that wait already.',
      [
        u32('key', 'volume'),
        choice('fullPolicy', 'volumeFullPolicy', 'that of the pool, or its own'),
      ],
    ),
  ),
  MAP_VOLUME: command(
    0x1055,
    'frontend',
    'Allow an SDC to use a volume.',
    [
      u32('volumeKey', 'volume'),
      u32('sdcKey', 'SDC'),
      bool('allowMultiple', 'although others have it mapped'),
      choice('access', 'access', 'what it may do'),
    ],
    [u32('generation', 'of the mapping')],
  ),
  UNMAP_VOLUME: command(
    0x1056,
    'frontend',
    'Answered when no I/O of the mapping can happen any more, else PENDING (C13).',
    [
      u32('volumeKey', 'volume'),
      list('sdcKeys', u32('key', ''), LIMITS.mappingsPerVolumeMax.value, 'which; empty: all'),
      u32('generation', 'only this mapping generation; 0: whatever it is'),
    ],
  ),
  SET_MAPPING_LIMITS: command(
    0x1057,
    'frontend',
    'QoS of a mapping; null keeps, 0 removes. Of two limits the smaller one holds, whatever size the volume gets.',
    [
      u32('volumeKey', 'volume'),
      u32('sdcKey', 'SDC'),
      optional(u32('iopsLimit', 'requests a second')),
      optional(u32('bandwidthLimitKbps', 'KiB a second')),
      optional(u32('iopsPerGib', 'requests a second for each GiB', { since: 2, absent: null })),
      optional(u32('kbpsPerGib', 'KiB a second for each GiB', { since: 2, absent: null })),
    ],
  ),
  HOLD_MAPPING: command(
    0x1058,
    'frontend',
    'Maps a volume to an SDC unless it is, and notes who relies on that. The same holder again changes nothing.',
    [
      u32('volumeKey', 'volume'),
      u32('sdcKey', 'SDC'),
      str('holder', LIMITS.holderBytesMax.value, 'who, not empty'),
      choice('access', 'access', 'what it may do; refused where the mapping allows something else'),
    ],
    [u32('generation', 'of the mapping'), bool('shared', 'others rely on the same mapping')],
  ),
  RELEASE_MAPPING: command(
    0x1059,
    'frontend',
    'The holder relies on the mapping no longer; when nobody does, it is unmapped, and answered as UNMAP_VOLUME.',
    [
      u32('volumeKey', 'volume'),
      str('holder', LIMITS.holderBytesMax.value, 'who'),
      u32('generation', 'only as holder of this mapping generation; 0: whatever it is'),
    ],
    [bool('unmapped', 'nobody else relied on it')],
  ),

  SNAPSHOT_VOLUMES: later(
    2,
    command(
      0x105a,
      'frontend',
      'Snapshots of volumes as of one moment, all or none. Answered when every device certified it.',
      [
        list('items', struct('item', 'SnapshotSpec', ''), LIMITS.cutVolumesMax.value, 'which'),
        choice('accessLimit', 'access', 'the most that a mapping of them may allow'),
        u32('secureMin', 'nobody removes or changes them for so many minutes; 0: anybody may', {
          ...{ max: LIMITS.secureMinutesMax.value, since: 2, absent: 0 },
        }),
      ],
      [
        u32('groupKey', 'consistency group of the snapshots'),
        list('keys', u32('key', ''), LIMITS.cutVolumesMax.value, 'snapshots, in the order asked'),
      ],
    ),
  ),
  REMOVE_GROUP_SNAPSHOTS: later(
    2,
    command(
      0x105b,
      'frontend',
      'Removes all snapshots of a consistency group, or none.',
      [u32('groupKey', 'consistency group')],
      [u32('removed', 'snapshots that went')],
    ),
  ),
  OVERWRITE_VOLUME: later(
    2,
    command(
      0x105c,
      'frontend',
      'Gives a volume the content that another one of its V-tree has at that moment. Both must be of one size.',
      [u32('key', 'volume that loses its content'), u32('sourceKey', 'volume or snapshot')],
    ),
  ),
  CONFIRM_VTREE: later(
    2,
    command(
      0x105d,
      'administrator',
      'After a restore of metadata that is older than a snapshot: the volumes of the V-tree are served as the metadata has them. What was written to layers that it does not know is lost.',
      [u32('vtreeKey', 'V-tree')],
    ),
  ),

  SET_SDS_CACHE: later(
    2,
    command(0x10a9, 'backend', 'RAM read cache of an SDS; null keeps what is.', [
      u32('key', 'SDS'),
      optional(bool('enabled', 'false: it takes no memory')),
      optional(u32('mib', 'RAM that it may take, on all devices together')),
    ]),
  ),
  SET_DEVICE_MEDIA: later(
    2,
    command(0x10ab, 'backend', 'What kind of medium a device has, whatever its SDS found.', [
      u32('key', 'device'),
      str('mediaType', 16, 'HDD or SSD; empty: as it was found'),
    ]),
  ),
  SET_VOLUME_CACHE: later(
    2,
    command(0x10aa, 'frontend', 'Whether the reads of a volume use the RAM read cache.', [
      u32('key', 'volume'),
      bool('rmcache', 'they do, where the pool does'),
    ]),
  ),

  RENAME_SDC: command(0x1061, 'frontend', 'New name.', [u32('key', 'SDC'), name()]),
  APPROVE_SDC: command(
    0x1062,
    'frontend',
    'By key, by GUID or by address, known or not yet.',
    [
      u32('key', 'SDC, or 0'),
      str('guid', LIMITS.guidBytesMax.value, 'or empty'),
      str('host', LIMITS.hostBytesMax.value, 'or empty'),
    ],
    newKey,
  ),
  REMOVE_SDC: command(0x1063, 'frontend', 'Without mappings and disconnected.', [
    u32('key', 'SDC'),
  ]),
  RAISE_CLUSTER_VERSION: {
    ...later(
      2,
      command(
        0x1072,
        'administrator',
        'Ends an upgrade: from now on what came with this version may be used and written, and older components are refused. Never lowered. Refused while a component that counts is older, or cannot be asked.',
        [u32('version', 'cluster version afterwards', { min: 1, max: 255 })],
      ),
    ),
    anyCluster: true,
  },
  SET_APPROVAL: command(0x1064, 'administrator', 'Which SDCs may register.', [
    choice('approval', 'approval', 'mode'),
  ]),

  SET_SYSTEM: command(0x1071, 'administrator', 'System settings; null keeps what is.', [
    optional(name()),
    optional(u8('capacityAlertHighPercent', 'threshold', { max: 100 })),
    optional(u8('capacityAlertCriticalPercent', 'threshold', { max: 100 })),
  ]),
  ADD_USER: command(
    0x1081,
    'security',
    'New user.',
    [
      name(),
      choice('role', 'userRole', 'what it may do'),
      bytes('salt', 32, 'random'),
      bytes('hash', 64, 'scrypt'),
    ],
    newKey,
  ),
  REMOVE_USER: command(0x1082, 'security', 'Not the last administrator.', [u32('key', 'user')]),
  SET_PASSWORD: command(0x1083, 'monitor', 'Of oneself, or of others with the security role.', [
    u32('key', 'user'),
    bytes('salt', 32, 'random'),
    bytes('hash', 64, 'scrypt'),
  ]),
  ADD_STANDBY_MDM: command(
    0x1091,
    'administrator',
    'Takes an MDM process without a system in as standby. It must answer.',
    [
      name('may be empty: a name is made'),
      str('host', LIMITS.hostBytesMax.value, 'IP address in text form'),
      u16('port', 'for clients; 0: the default'),
      u16('clientPort', 'of its store, for MDMs; 0: the default'),
      u16('peerPort', 'of its store, among members; 0: the default'),
      choice('role', 'mdmRole', 'what it does as a member'),
      bool('clean', 'although it kept something of an MDM cluster that is no more'),
    ],
    newKey,
  ),
  REMOVE_STANDBY_MDM: command(0x1092, 'administrator', 'Not a member of the cluster.', [
    u32('key', 'MDM'),
  ]),
  SWITCH_CLUSTER: command(
    0x1093,
    'administrator',
    'Begins a change of the MDM cluster; CLUSTER_QUERY tells what becomes of it.',
    [
      u8('mode', 'afterwards: 1, 3 or 5 members', { min: 1, max: 5 }),
      list('add', u32('key', ''), 5, 'standbys that become members'),
      list('remove', u32('key', ''), 5, 'members that become standbys'),
      bool('allowFailed', 'members that leave may be out of reach'),
    ],
    [u53('job', 'the change')],
  ),
  SWITCH_MDM_OWNERSHIP: command(0x1094, 'administrator', 'Another manager becomes the master.', [
    u32('key', 'MDM'),
  ]),
  RENAME_MDM: command(0x1095, 'administrator', 'New name.', [u32('key', 'MDM'), name()]),
  BACKUP_METADATA: later(
    2,
    command(
      0x1096,
      'administrator',
      'Everything that the metadata store holds, as of one commit, in parts.',
      [
        u53('sequence', 'commit that the first part named; 0: a new backup begins'),
        u32('from', 'pairs that were read already'),
      ],
      [
        u53('term', 'of that commit'),
        u53('sequence', 'of that commit'),
        u32('total', 'pairs in all'),
        list('pairs', struct('pair', 'StoredPair', ''), LIMITS.backupPairsMax.value, 'in order'),
      ],
    ),
  ),
  CHECK_METADATA: later(
    2,
    command(
      0x1097,
      'monitor',
      'Compares the metadata with what the devices carry. While restored metadata waits for devices: for which.',
      [],
      [
        bool('restoring', 'restored metadata is not in use yet'),
        u32('combs', 'compared'),
        u32('devices', 'asked that answered'),
        u32('total', 'findings in all'),
        list('findings', struct('finding', 'Finding', ''), LIMITS.queryItemsMax.value, 'the first'),
      ],
    ),
  ),
  CONFIRM_RESTORE: later(
    2,
    command(
      0x1098,
      'administrator',
      'While restored metadata waits for devices: these will not come back. What only they hold is lost.',
      [list('deviceKeys', u32('deviceKey', ''), LIMITS.queryItemsMax.value, 'devices')],
    ),
  ),
  ADD_SNAPSHOT_POLICY: later(
    2,
    command(
      0x10b1,
      'frontend',
      'New snapshot policy, without volumes.',
      [
        name('may be empty: a name is made'),
        u32('cadenceMin', 'minutes between two runs'),
        list('retained', u32('count', ''), POLICY_LEVELS_SENT, 'snapshots by level'),
        bool('paused', 'it does not run yet'),
        choice('accessLimit', 'access', 'of its snapshots'),
        bool('secure', 'its snapshots cannot be removed before their time is over'),
      ],
      newKey,
    ),
  ),
  REMOVE_SNAPSHOT_POLICY: later(
    2,
    command(0x10b2, 'frontend', 'It must have no source volume.', [u32('key', 'policy')]),
  ),
  RENAME_SNAPSHOT_POLICY: later(
    2,
    command(0x10b3, 'frontend', 'New name.', [u32('key', 'policy'), name()]),
  ),
  MODIFY_SNAPSHOT_POLICY: later(
    2,
    command(0x10b4, 'frontend', 'Other times. What is retained no longer goes.', [
      u32('key', 'policy'),
      u32('cadenceMin', 'minutes between two runs'),
      list('retained', u32('count', ''), POLICY_LEVELS_SENT, 'snapshots by level'),
    ]),
  ),
  PAUSE_SNAPSHOT_POLICY: later(
    2,
    command(0x10b5, 'frontend', 'It does not run any more, or again.', [
      u32('key', 'policy'),
      bool('paused', ''),
    ]),
  ),
  ADD_POLICY_VOLUME: later(
    2,
    command(0x10b6, 'frontend', 'From now on the policy makes snapshots of the volume.', [
      u32('key', 'policy'),
      u32('volumeKey', 'volume'),
    ]),
  ),
  REMOVE_POLICY_VOLUME: later(
    2,
    command(
      0x10b7,
      'frontend',
      'The policy makes no snapshots of the volume any more; those that it made go, or stay as ordinary ones. Secure ones stay in any case.',
      [
        u32('key', 'policy'),
        u32('volumeKey', 'volume'),
        bool('detach', 'they stay'),
        bool('detachLocked', 'locked ones stay; otherwise it is refused where there are any'),
      ],
      [u32('removed', 'snapshots that went'), u32('detached', 'snapshots that stay')],
    ),
  ),
  LOCK_AUTO_SNAPSHOT: later(
    2,
    command(0x10b8, 'frontend', 'Its policy does not remove it.', [u32('key', 'snapshot')]),
  ),
  UNLOCK_AUTO_SNAPSHOT: later(
    2,
    command(
      0x10b9,
      'frontend',
      'Its policy removes it when its time is over; at once if it is.',
      [u32('key', 'snapshot'), bool('mayGo', 'otherwise it is refused if it would go at once')],
      [bool('removed', 'it went')],
    ),
  ),
  SECURE_SNAPSHOT: later(
    2,
    command(
      0x10ba,
      'frontend',
      'Nobody removes or changes the snapshot for so many minutes from now; never shortened. It is read-only from now on.',
      [
        u32('key', 'snapshot'),
        u32('minutes', 'from now', { min: 1, max: LIMITS.secureMinutesMax.value }),
      ],
    ),
  ),
  SET_USER_ROLE: command(0x1084, 'security', 'What a user may do.', [
    u32('key', 'user'),
    choice('role', 'userRole', 'new role'),
  ]),
} as const satisfies Record<string, CommandRow>;
