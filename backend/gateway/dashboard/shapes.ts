// What the dashboard's page reads: answers of `POST /api/dashboard/overview` and `POST /api/dashboard/volumes`. Both
// sides compile against these shapes; they hold no code and know neither server nor page.

/** What happens per second, averaged over the last five seconds. */
export interface Load {
  readonly readOps: number;
  readonly writeOps: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Mean latency in microseconds; 0 when nothing was read. */
  readonly readMicros: number;
  /** Mean latency in microseconds; 0 when nothing was written. */
  readonly writeMicros: number;
  /** Requests per second that waited for the limit of a mapping, and how long they waited on average, in microseconds. */
  readonly throttledOps: number;
  readonly throttledMicros: number;
  /** Of the reads, those answered wholly from the RAM read cache. */
  readonly cachedReadOps: number;
}

/** Raw bytes, both copies counted. The last four add up to the total. */
export interface Capacity {
  readonly totalBytes: number;
  readonly usedBytes: number;
  readonly spareBytes: number;
  readonly unusedBytes: number;
  readonly unreachableBytes: number;
}

/** Copying that brings copies up to date; both are 0 when none runs. */
export interface Resync {
  readonly totalBytes: number;
  readonly doneBytes: number;
}

export interface PoolRow {
  readonly id: string;
  readonly name: string;
  readonly domain: string;
  readonly mediaType: string;
  readonly durability: string;
  readonly fullPolicy: string;
  /** Seconds until it is full if it goes on as it did; null: not in sight. */
  readonly fullInS: number | null;
  readonly sparePercent: number;
  readonly devices: number;
  readonly volumes: number;
  readonly capacity: Capacity;
  readonly load: Load;
}

export interface SdsRow {
  readonly id: string;
  readonly name: string;
  readonly domain: string;
  readonly addresses: readonly string[];
  readonly isConnected: boolean;
  /** none, instant or protected, and how far it is entered or left. */
  readonly maintenance: string;
  readonly maintenanceStage: string;
  readonly sinceMs: number;
  readonly version: string;
  readonly devices: number;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  /** Memory of the RAM read caches of its devices. */
  readonly cacheBytes: number;
  readonly load: Load;
}

export interface DeviceRow {
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly sds: string;
  readonly pool: string;
  /** Of the device's lifecycle, such as up, down or failed. */
  readonly state: string;
  readonly failure: string;
  readonly isConnected: boolean;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly degradedCombs: number;
  /** Blocks that its background scanner found wrong, and those of them that are not right again. */
  readonly scanErrors: number;
  readonly scanErrorsLeft: number;
  readonly scannedBytes: number;
  readonly resync: Resync;
  readonly load: Load;
}

export interface SdcRow {
  readonly id: string;
  readonly name: string;
  readonly guid: string;
  readonly addresses: readonly string[];
  readonly isApproved: boolean;
  readonly isConnected: boolean;
  readonly sinceMs: number;
  readonly version: string;
  readonly mappedVolumes: number;
  readonly load: Load;
}

/** Rows of a table: not more than the server's limit, those with trouble first, of `total` there are. */
export interface Rows<T> {
  readonly total: number;
  readonly rows: readonly T[];
}

export interface Overview {
  /** Wall clock of the gateway. */
  readonly atMs: number;
  readonly system: { readonly id: string; readonly name: string };
  readonly user: { readonly name: string; readonly role: string };
  readonly mdm: {
    readonly name: string;
    readonly version: string;
    /** Number of MDMs that the cluster is meant to have. */
    readonly mode: number;
    readonly upSinceMs: number;
  };
  readonly combs: {
    readonly total: number;
    readonly degraded: number;
    readonly unavailable: number;
  };
  readonly capacity: Capacity;
  readonly load: Load;
  readonly resync: Resync;
  readonly volumes: { readonly total: number; readonly mapped: number };
  readonly pools: Rows<PoolRow>;
  readonly sds: Rows<SdsRow>;
  readonly devices: Rows<DeviceRow>;
  readonly sdcs: Rows<SdcRow>;
}

export interface VolumeMappingCell {
  readonly sdcId: string;
  readonly sdc: string;
  readonly generation: number;
  readonly access: string;
}

export interface VolumeRow {
  readonly id: string;
  readonly name: string;
  readonly pool: string;
  readonly provisioning: string;
  readonly sizeBytes: number;
  /** Allocated, one copy counted. */
  readonly usedBytes: number;
  /** Of which no other volume of its V-tree reads: what its removal would free. */
  readonly ownBytes: number;
  readonly vtreeId: string;
  /** Name, or id, of what it is a snapshot of; empty: it is none, or that was removed. */
  readonly ancestor: string;
  readonly isSnapshot: boolean;
  /** Generations between it and the oldest in its V-tree. */
  readonly depth: number;
  readonly createdAtMs: number;
  readonly mappings: readonly VolumeMappingCell[];
  readonly load: Load;
}

/**
 * One page of the volumes whose name or id, or whose V-tree's id, contains what was searched for: V-trees in order of name, snapshots
 * below their source.
 */
export interface VolumeList {
  /** That match. */
  readonly total: number;
  readonly offset: number;
  readonly rows: readonly VolumeRow[];
}
