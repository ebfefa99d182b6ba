// What the options of a scenario are. It owns their meaning; how they are drawn from a seed is in swarm.ts.

import type {
  CopyLimits,
  Durability,
  FullPolicy,
  ScannerMode,
} from '../protocol/generated/types.js';

import type { NetworkOptions } from './network.js';
import type { TroubleWeights } from './trouble-kinds.js';
import type { WorkloadOptions } from './workload.js';

/** How data is moved between servers. */
export interface MoveOptions {
  /** Combs that are moved at the same time; 0: data stays where it is. */
  readonly combsMax: number;
  readonly perDevice: number;
  readonly rebuildDelayMs: number;
  readonly rebalanceDelayMs: number;
  readonly flapDelayMs: number;
  /** Servers that are not part of the system from the start. */
  readonly lateServers: number;
  /** Fault sets over which the servers are spread, 0: none. */
  readonly faultSets: number;
  /** What limits copying. */
  readonly limits: CopyLimits;
  /** Ambushes wait for messages that change who carries what. */
  readonly ambushes: boolean;
}

/** Data stays where it is. */
export const NO_MOVES: MoveOptions = {
  ...{ combsMax: 0, perDevice: 1, rebuildDelayMs: 0, rebalanceDelayMs: 0 },
  ...{ flapDelayMs: 0, lateServers: 0, faultSets: 0, ambushes: false },
  limits: 'dynamicBandwidth',
};

/** When the MDM finds a device slow, as its options of similar names. */
export interface SlowOptions {
  /** 0: never. */
  readonly factor: number;
  readonly microsMin: number;
  readonly sampleMs: number;
  readonly samples: number;
  readonly proofMs: number;
  /** One disk becomes slow, under a load that tells it from its peers, and stays so: it must be found and taken out. */
  readonly found: boolean;
}

/** No device is slow. */
export const NOBODY_SLOW: SlowOptions = {
  ...{ factor: 0, microsMin: 0, sampleMs: 1000, samples: 5, proofMs: 60_000 },
  found: false,
};

export interface Swarm {
  readonly seed: number;
  readonly servers: number;
  readonly clients: number;
  /** More than one: they share a metadata store, and one of them is master. */
  readonly mdms: number;
  /** Of a thousand answers of a shared metadata store, how many get lost. */
  readonly storeLostPermille: number;
  /** Size of each volume in chunks. */
  readonly volumeChunks: readonly number[];
  /** Every client has every volume, else volume i belongs to client i modulo clients. */
  readonly shared: boolean;
  readonly combLog2: number;
  /** As long as there is no volume, the pool gets more combs with each server; 0: it does not. */
  readonly combsPerPair: number;
  readonly durability: Durability;
  readonly network: NetworkOptions;
  /** Clock rates of hosts, in millionths. */
  readonly driftPpmMax: number;
  readonly workload: WorkloadOptions;
  /** Servers have the real device format on disks with bytes, not its model. */
  readonly realDevice: boolean;
  /** Room for data on each device, about; 0: plenty. */
  readonly capacityBlocks: number;
  /** What a write gets when the pool is full. */
  readonly fullPolicy: FullPolicy;
  readonly linksPerDevice: number;
  /** Seconds; 0: requests wait for ever. */
  readonly ioTimeoutS: number;
  readonly trouble: TroubleWeights;
  readonly troubleGapUsMax: number;
  readonly troubleUsMax: number;
  /** Length of the phase in which trouble happens. */
  readonly safetyUs: number;
  readonly storeUnknownPermille: number;
  readonly commitUsMax: number;
  /** Operations that a client has at a time. */
  readonly clientOpsMax: number;
  /** Servers have trouble while they are added; 0: not, else for so long. */
  readonly setUpTroubleUs: number;
  /** How long an unmapping waits for the devices before it is answered as pending. */
  readonly drainTimeoutMs: number;
  /** How long devices hold changes for a snapshot at most. */
  readonly cutHoldMs: number;
  /** Blocks after which a primary settles at once. */
  readonly settleBlocksMax: number;
  /** Changes after which a primary settles at once. */
  readonly settleChangesMax: number;
  /** After a power loss of both copies in a volatile mode, one alone may return. */
  readonly loneReturn: boolean;
  /** Strikes of the nemesis that are left out, by number from 0: what a minimised scenario does without. */
  readonly skipStrikes: readonly number[];
  /** More goes wrong than the promise covers: requests may block or fail, but no byte may be wrong. */
  readonly overLimit: boolean;
  readonly moves: MoveOptions;
  readonly slow: SlowOptions;
  /** Percentages of spare that the operator sets: the first when the volumes are there. None: no spare is kept. */
  readonly spares: readonly number[];
  /** Blocks of a read cache of 128 MiB; 0: the pool uses none. Only real devices have one. */
  readonly cacheBlocks: number;
  /** What the background scanner of the pool does. */
  readonly scanner: ScannerMode;
  /** How long a minute of snapshot policies is. */
  readonly minuteMs: number;
  /** How far the wall clock of an MDM may be wrong, another way at each start. */
  readonly clockJumpMs: number;
}

/** Options of later releases, as they are in scenarios that were kept before. */
export const LATER_OPTIONS_OFF = {
  ...{ mdms: 1, storeLostPermille: 0, combsPerPair: 0, cutHoldMs: 500 },
  spares: [] as readonly number[],
  cacheBlocks: 0,
  scanner: 'disabled' as ScannerMode,
  ...{ minuteMs: 60_000, clockJumpMs: 0 },
} as const;
