// Closed sets of words that fields of the protocol and of stored objects take. Numbers are never reused. Words that came after
// a release are named with their version in `since`, and only used when the cluster has been raised to it.

export const CHOICES = {
  role: {
    about: 'What a component is; a link carries the role of both ends.',
    values: { mdm: 1, sds: 2, sdsData: 3, sdc: 4, admin: 5, lia: 6 },
  },
  durability: {
    about: 'When a write of a storage pool is acknowledged.',
    values: { media: 1, device: 2, memory: 3 },
  },
  addressRole: {
    about: 'What an address of an SDS or SDC is used for.',
    values: { all: 1, sdsOnly: 2, sdcOnly: 3, management: 4 },
  },
  mdmRole: {
    about:
      'What a node of an MDM cluster does: a tie-breaker has no MDM, it counts for the majority only.',
    values: { manager: 1, tieBreaker: 2 },
  },
  mdmState: {
    about:
      'What an MDM process is: without a system, with a store of its own, or part of a cluster.',
    values: { blank: 1, alone: 2, member: 3 },
  },
  mdmTask: {
    about:
      'What a master wants another node to do: begin a store with others, enter one, leave it.',
    values: { form: 1, join: 2, leave: 3 },
  },
  provisioning: {
    about: 'Whether capacity is reserved at creation.',
    values: { thin: 1, thick: 2 },
  },
  access: { about: 'What a mapping allows.', values: { readWrite: 1, readOnly: 2 } },
  approval: {
    about:
      'Which SDCs may register: every one that holds the secret, approved GUIDs, or approved addresses.',
    values: { none: 1, guid: 2, ip: 3 },
  },
  cacheWrites: {
    about:
      'What the RAM read cache of a storage pool takes of what is written: nothing, or all that reads would take.',
    values: { passthrough: 1, cached: 2 },
  },
  fullPolicy: { about: 'What a write gets when the pool is full.', values: { wait: 1, error: 2 } },
  volumeFullPolicy: {
    about: 'What a write to a volume gets when the pool is full: what the pool says, or its own.',
    values: { pool: 1, wait: 2, error: 3 },
  },
  copyLimits: {
    about:
      'How much of a device copying may take: no limit, a number of requests at a time, that and a bandwidth, or both only while clients keep the device busy.',
    values: { unlimited: 1, limitConcurrent: 2, favorApplication: 3, dynamicBandwidth: 4 },
  },
  deviceState: {
    about: 'What the MDM knows of a device.',
    values: { adding: 1, up: 2, down: 3, failed: 4, removing: 5 },
  },
  slowStage: {
    about:
      'What the MDM does about a device that is slower than its peers: it leads no comb that its other copy can lead; then its copies leave the sets in which another one stays; then it has failed.',
    values: { none: 1, relieved: 2, leaving: 3, ejected: 4 },
  },
  deviceTask: {
    about: 'What the MDM wants an SDS to do with a device.',
    values: { format: 1, open: 2, close: 3 },
  },
  userRole: {
    about: 'What a user may do, as in the original.',
    values: {
      monitor: 1,
      configure: 2,
      administrator: 3,
      security: 4,
      frontendConfigure: 5,
      backendConfigure: 6,
    },
  },
  maintenance: {
    about: 'How an SDS is taken out of service for a while.',
    values: { none: 1, instant: 2, protected: 3 },
  },
  maintenanceStage: {
    about: 'How far a maintenance mode is entered or left.',
    values: { none: 1, entering: 2, active: 3, exiting: 4 },
  },
  sdsMoveStage: {
    about:
      'How far the move of an SDS to another protection domain is: its data goes elsewhere, or its devices are made part of the new one.',
    values: { leaving: 1, joining: 2 },
  },
  findingKind: {
    about: 'What a comparison of the metadata with the devices found.',
    values: {
      deviceMissing: 1,
      deviceSilent: 2,
      deviceUnknown: 3,
      deviceNewer: 4,
      deviceOlder: 5,
      entryDiffers: 6,
      combLacking: 7,
      volumeUnknown: 8,
      noCopy: 9,
      awaited: 10,
      volumeDoubtful: 11,
    },
  },
  combChange: {
    about: 'What a primary asks the MDM to commit for a comb.',
    values: { shrink: 1, admit: 2 },
  },
  objectType: {
    about:
      'Kinds of object that a query names; also the first byte of a key in the metadata store.',
    values: {
      system: 1,
      protectionDomain: 2,
      storagePool: 3,
      faultSet: 4,
      sds: 5,
      device: 6,
      sdc: 7,
      volume: 8,
      mapping: 9,
      user: 10,
      combPage: 11,
      approvedSdc: 12,
      tombstone: 13,
      attachment: 14,
      layer: 15,
      cut: 16,
      snapshotPolicy: 17,
      poolUsage: 19,
      mdm: 20,
      mdmCluster: 21,
    },
    since: { layer: 2, cut: 2, poolUsage: 2, snapshotPolicy: 2 },
  },
  cutStage: {
    about:
      'How far a group snapshot is: devices are asked to hold writes, or the volumes are written in new layers and the devices certify.',
    values: { holding: 1, switched: 2 },
  },
  removeMode: {
    about:
      'What goes with a volume: nothing, the snapshots that stand on it, these without it, or its whole V-tree.',
    values: { onlyMe: 1, includingDescendants: 2, descendantsOnly: 3, wholeVtree: 4 },
  },
  copyJob: {
    about:
      'Why a device gets data of a comb: a lost copy is made anew, a returned one catches up, data is moved, or an SDS goes into protected maintenance or comes back from it.',
    values: {
      forwardRebuild: 1,
      backwardRebuild: 2,
      rebalance: 3,
      enterMaintenance: 4,
      exitMaintenance: 5,
    },
  },
  scannerMode: {
    about:
      'What the background scanner of a pool does: nothing, devices verify what they hold, or primaries compare copies as well.',
    values: { disabled: 1, deviceOnly: 2, dataComparison: 3 },
    since: { disabled: 2, deviceOnly: 2, dataComparison: 2 },
  },
  scannerAction: {
    about: 'What is done about an error that the background scanner found.',
    values: { reportOnly: 1, reportAndFix: 2 },
    since: { reportOnly: 2, reportAndFix: 2 },
  },
  liveness: {
    about: 'Whether a component is connected.',
    values: { connected: 1, disconnected: 2 },
  },
} as const satisfies Record<
  string,
  { about: string; values: Record<string, number>; since?: Record<string, number> }
>;
