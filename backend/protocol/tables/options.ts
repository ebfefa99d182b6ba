// THE table of options: what an operator may set, with bounds and defaults. Hard limits are in limits.ts. Parsers of
// the command line and of configuration files, and the documentation, are made from it. It must never hold behaviour.

export interface OptionRow {
  /** Processes that take it; on the command line as `--kebab-case`. */
  readonly of: readonly ('mdm' | 'sds' | 'sdsData' | 'sdc' | 'gateway' | 'lia')[];
  readonly type: 'number' | 'string' | 'boolean';
  readonly default: number | string | boolean;
  readonly min?: number;
  readonly max?: number;
  /** Of a string: what it may be. */
  readonly choices?: readonly string[];
  /** Whether a running process takes a new value. */
  readonly live: boolean;
  readonly about: string;
}

export const OPTIONS = {
  connectTimeoutMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 2000,
    min: 50,
    max: 60000,
    live: false,
    about: 'How long one address may take to accept a connection before the next is tried.',
  },
  handshakeTimeoutMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 2000,
    min: 50,
    max: 60000,
    live: false,
    about: 'How long the other end may take to authenticate.',
  },
  pingIdleMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 500,
    min: 50,
    max: 60000,
    live: false,
    about:
      'After this long without a byte from the other end of a link, it is asked whether it lives.',
  },
  pingDeadMs: {
    of: ['mdm', 'sds', 'sdsData', 'sdc', 'gateway'],
    type: 'number',
    default: 2000,
    min: 100,
    max: 120000,
    live: false,
    about: 'After this long without a byte from the other end, the link counts as broken.',
  },
  masterBeatMs: {
    of: ['mdm'],
    type: 'number',
    default: 250,
    min: 50,
    max: 10000,
    live: false,
    about: 'In an MDM cluster: how often the master shows that it lives.',
  },
  masterSilenceMs: {
    of: ['mdm'],
    type: 'number',
    default: 1000,
    min: 200,
    max: 60000,
    live: false,
    about:
      'In an MDM cluster: a standby takes over when the master showed no life for so long. At least three beats.',
  },
  ioTimeoutSeconds: {
    of: ['sdc'],
    type: 'number',
    default: 0,
    min: 0,
    max: 86400,
    live: false,
    about:
      'I/O that could not be done for this long is answered with an error; 0: it waits through failures.',
  },
  attachMethod: {
    of: ['sdc'],
    type: 'string',
    default: 'auto',
    choices: ['auto', 'nbd', 'fuse'],
    live: false,
    about:
      "How a volume becomes a block device: by the kernel's nbd driver (Linux 5.14), as a FUSE file under a loop device, or by nbd where it works and otherwise by fuse. Devices that are attached stay as they are.",
  },
  leaseMs: {
    of: ['mdm'],
    type: 'number',
    default: 1000,
    min: 50,
    max: 60000,
    live: false,
    about: 'How long a member allows a primary to serve reads (C5).',
  },
  detectionMs: {
    of: ['mdm'],
    type: 'number',
    default: 1500,
    min: 1000,
    max: 120000,
    live: false,
    about:
      'A device that makes no progress for this long is replaced by its other copy (C14); several heartbeats of 250 ms must fit.',
  },
  driftPercent: {
    of: ['mdm'],
    type: 'number',
    default: 10,
    min: 0,
    max: 50,
    live: false,
    about: 'Bound on the difference of the clock rates of two hosts.',
  },
  drainTimeoutMs: {
    of: ['mdm'],
    type: 'number',
    default: 30000,
    min: 100,
    max: 600000,
    live: false,
    about:
      'How long a command waits until every device has applied it, before it answers that it is pending (C13).',
  },
  deviceAddTimeoutMs: {
    of: ['mdm'],
    type: 'number',
    default: 60000,
    min: 1000,
    max: 3600000,
    live: false,
    about: 'How long adding a device may take, formatting included, before it is taken back.',
  },
  rebuildDelayMs: {
    of: ['mdm'],
    type: 'number',
    default: 600000,
    min: 0,
    max: 604800000,
    live: false,
    about:
      'How long a device may be away before what it held is copied to other devices; a device that returns earlier gets only what changed. One that failed for good is not waited for.',
  },
  rebalanceDelayMs: {
    of: ['mdm'],
    type: 'number',
    default: 10000,
    min: 0,
    max: 604800000,
    live: false,
    about:
      'How long the devices of a storage pool have to be all there before data is moved only to spread it evenly.',
  },
  movesPerDevice: {
    of: ['mdm'],
    type: 'number',
    default: 4,
    min: 1,
    max: 255,
    live: false,
    about:
      'Combs that a device fills, or is the source of, at the same time while data moves, in storage pools that are new.',
  },
  movesMax: {
    of: ['mdm'],
    type: 'number',
    default: 8192,
    min: 0,
    max: 1048576,
    live: false,
    about:
      'Combs that are being moved at the same time in the whole system; 0: data stays where it is, lost copies are not made elsewhere.',
  },
  slowDeviceFactor: {
    of: ['mdm'],
    type: 'number',
    default: 10,
    min: 0,
    max: 1000,
    live: false,
    about:
      'A device whose requests take this many times as long as those of its peers, the other devices of its storage pool, counts as slow: its primary roles go to the other copies, then it is taken out and its data is made anew elsewhere. 0: never.',
  },
  slowDeviceMicrosMin: {
    of: ['mdm'],
    type: 'number',
    default: 2000,
    min: 0,
    max: 60000000,
    live: false,
    about: 'No device is slow whose requests take less than this, whatever its peers do.',
  },
  slowDeviceSamples: {
    of: ['mdm'],
    type: 'number',
    default: 5,
    min: 1,
    max: 1000,
    live: false,
    about:
      'Samples of a second or more in which a device is slow, beyond those in which it is not, before its roles are moved; as many again before it is taken out.',
  },
  slowDeviceProofMs: {
    of: ['mdm'],
    type: 'number',
    default: 60000,
    min: 0,
    max: 3600000,
    live: false,
    about:
      'How long a device that was found slow has to be at least twice as fast as that again before it gets its roles back; twice as long after every relapse, up to an hour.',
  },
  combCountLog2: {
    of: ['mdm'],
    type: 'number',
    default: 8,
    min: 0,
    max: 20,
    live: false,
    about: 'Binary logarithm of the number of combs that a new storage pool begins with.',
  },
  combsPerPair: {
    of: ['mdm'],
    type: 'number',
    default: 16,
    min: 0,
    max: 65536,
    live: false,
    about:
      'As long as a storage pool has no volume, it gets at least so many combs for each two of its devices, up to 131,072; 0: it keeps what it began with.',
  },
  overProvisioningFactor: {
    of: ['mdm'],
    type: 'number',
    default: 10,
    min: 1,
    max: 1000,
    live: false,
    about: 'Thin volumes of a storage pool together may be this many times its net capacity.',
  },
  cutHoldMs: {
    of: ['mdm'],
    type: 'number',
    default: 500,
    min: 50,
    max: 10000,
    live: false,
    about:
      'How long data processes hold changes of volumes for a group snapshot at most. Mostly that takes milliseconds; it lasts so long where a device or the MDM is lost meanwhile.',
  },
  snapshotsPerVtree: {
    of: ['mdm'],
    type: 'number',
    default: 126,
    min: 0,
    max: 1000,
    live: false,
    about: 'Snapshots that a V-tree may have, as in the original; more are refused.',
  },
  logWindowMiB: {
    of: ['sdsData'],
    type: 'number',
    default: 16,
    min: 8,
    max: 1024,
    live: false,
    about:
      'Data of the device log that may be kept in memory until it is copied home, in MiB. Memory is touched as it is used.',
  },
  descriptorCacheChunks: {
    of: ['sdsData'],
    type: 'number',
    default: 8192,
    min: 64,
    max: 4194304,
    live: false,
    about:
      'Chunks whose block tables are kept in memory (2.4 KiB each); others are read from the device when needed.',
  },
  directWritesMiB: {
    of: ['sdsData'],
    type: 'number',
    default: 8,
    min: 1,
    max: 1024,
    live: false,
    about:
      'Data of large writes on their way to the device, in MiB; beyond it they go through the log.',
  },
  logIdleMs: {
    of: ['sdsData'],
    type: 'number',
    default: 1000,
    min: 10,
    max: 3600000,
    live: false,
    about: 'After this long without a change the log is copied home and trimmed.',
  },
  resyncChunks: {
    of: ['sdsData'],
    type: 'number',
    default: 4,
    min: 1,
    max: 64,
    live: false,
    about: 'Chunks of 1 MiB that a device copies at a time to copies that catch up.',
  },
  settleMs: {
    of: ['sdsData'],
    type: 'number',
    default: 100,
    min: 10,
    max: 10000,
    live: false,
    about:
      'How often a primary tells the other copies what is durable everywhere, while there is news: bounds what is compared after a crash.',
  },
  settleVolatileMs: {
    of: ['sdsData'],
    type: 'number',
    default: 1000,
    min: 10,
    max: 60000,
    live: false,
    about:
      'The same in the durability modes device and memory, where it costs a flush on every copy: bounds what a simultaneous loss of power costs.',
  },
  jobTimeoutSeconds: {
    of: ['lia'],
    type: 'number',
    default: 900,
    min: 10,
    max: 7200,
    live: false,
    about: 'How long a job of the node agent may take, such as an installation; then it is ended.',
  },
  infoMiBMax: {
    of: ['lia'],
    type: 'number',
    default: 64,
    min: 1,
    max: 1024,
    live: false,
    about: 'Size of a support bundle before compression, in MiB; what does not fit is named in it.',
  },
  infoHours: {
    of: ['lia'],
    type: 'number',
    default: 24,
    min: 1,
    max: 720,
    live: false,
    about: 'How far back the logs of a support bundle go.',
  },
} as const satisfies Record<string, OptionRow>;

export type OptionName = keyof typeof OPTIONS;
