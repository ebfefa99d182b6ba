// What the MDM is given at construction: its ports, the stored content, and its settings. It must never read a file.

import type { Links, Log, MetadataStore, Micros } from '../core/ports.js';
import type { Address } from '../protocol/generated/types.js';
import type { ClusterPort } from './cluster-port.js';

/** One key of the metadata store and its value. */
export interface StoredEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The store as it was found at the start. */
export interface MdmContent {
  /** Highest term that ever committed, 0 in a new store. */
  readonly term: number;
  /** Sequence of the last commit, 0 in a new store. */
  readonly sequence: number;
  readonly entries: Iterable<StoredEntry>;
}

/** What the shell, or the simulator, does for the MDM beside the common ports. */
export interface MdmHost {
  /**
   * The MDM cannot go on: the store has another master, or the outcome of a commit is unknown. The process ends; the next
   * one reads what was committed.
   */
  steppedDown(nowUs: Micros, reason: string): void;
  /** Another MDM shall be the master; only in a cluster. */
  handOver?(nowUs: Micros, heir: string): void;
}

export interface MdmPorts {
  /** What becomes of the MDM cluster; without it this MDM is alone for good. */
  readonly cluster?: ClusterPort;
  readonly links: Links;
  readonly store: MetadataStore;
  readonly log: Log;
  readonly host: MdmHost;
}

/** What a system starts with; needed only with a new store. */
export interface InitialSystem {
  readonly systemName: string;
  /** Upper half of all ids; u32, not 0; random. */
  readonly idPrefix: number;
  /** 16 hex digits; random. */
  readonly installId: string;
  readonly admin: { readonly name: string; readonly salt: Uint8Array; readonly hash: Uint8Array };
}

export interface MdmOptions {
  /** Of this MDM, for people. */
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly port: number;
  /** Software version. */
  readonly version: string;
  readonly leaseMs: number;
  readonly detectionMs: number;
  readonly driftPercent: number;
  /** How long a command waits for devices to apply it before it answers PENDING (C13). */
  readonly drainTimeoutMs: number;
  readonly deviceAddTimeoutMs: number;
  /** How long a device may be away before what it held is copied elsewhere. */
  readonly rebuildDelayMs: number;
  /** How long a pool has to be whole before data is moved only to spread it. */
  readonly rebalanceDelayMs: number;
  /** How long a device that was lost twice has to be back before it is trusted as before; longer with every further loss. */
  readonly flapDelayMs: number;
  /** A device is slow whose requests take so many times as long as those of its peers, 0: none is; and at least so long. */
  readonly slowFactor: number;
  readonly slowMicrosMin: number;
  /** Samples are so long, or longer where little is done. */
  readonly slowSampleMs: number;
  /** Slow samples before the roles of a device are moved, and again before it is taken out. */
  readonly slowSamples: number;
  /** How long a device that was slow has to be faster again; longer with every relapse. */
  readonly slowProofMs: number;
  /** Combs that a device of a new pool fills or is the source of at the same time, for every 128 that it carries. */
  readonly movesPerDevice: number;
  /** Combs that are moved at the same time; 0: data stays where it is. */
  readonly movesMax: number;
  /** Of a new pool to begin with. */
  readonly combCountLog2: number;
  /** A pool without volumes gets so many combs for each two of its devices, if it has fewer; 0: it keeps what it has. */
  readonly combsPerPair: number;
  /** Thin volumes of a pool together may be this many times its net capacity. */
  readonly overProvisioningFactor: number;
  /** Bytes of the sectors in which volume sizes count. */
  readonly sectorBytes: number;
  /** How long data processes hold changes of volumes for a group snapshot, at most. */
  readonly cutHoldMs: number;
  /** Snapshots of a V-tree. */
  readonly snapshotsPerVtree: number;
  /** How long a minute of snapshot policies and of what is secure is. */
  readonly minuteMs: number;
  /** Ports of the store of a cluster: for MDMs, and among its members. */
  readonly clientPort: number;
  readonly peerPort: number;
  /** Wall clock, milliseconds, at `nowUs` 0. */
  readonly wallMsAtZero: number;
  readonly initial: InitialSystem | null;
}

/** Defaults of what the options table does not hold; the rest comes from there. */
export const MDM_DEFAULTS = {
  name: 'mdm',
  addresses: [],
  port: 6611,
  version: '0.1.0',
  leaseMs: 1000,
  detectionMs: 1500,
  driftPercent: 10,
  drainTimeoutMs: 30_000,
  deviceAddTimeoutMs: 60_000,
  rebuildDelayMs: 600_000,
  rebalanceDelayMs: 10_000,
  flapDelayMs: 30_000,
  slowFactor: 10,
  slowMicrosMin: 2000,
  slowSampleMs: 1000,
  slowSamples: 5,
  slowProofMs: 60_000,
  movesPerDevice: 4,
  movesMax: 8192,
  combCountLog2: 8,
  combsPerPair: 16,
  overProvisioningFactor: 10,
  sectorBytes: 512,
  cutHoldMs: 500,
  snapshotsPerVtree: 126,
  minuteMs: 60_000,
  clientPort: 9012,
  peerPort: 9013,
  wallMsAtZero: 0,
  initial: null,
} as const satisfies MdmOptions;
