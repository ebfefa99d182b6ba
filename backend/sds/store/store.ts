// What a data process asks of its device and what it hears back. It owns the contract between replication (sds/) and the
// device format (sds/store/); it must never hold an implementation.
//
// Ordering. Every change gets a log sequence number (LSN), ascending. `writtenLsn`: everything up to it survives the end
// of this process. `durableLsn`: everything up to it survives a loss of power. `settledLsn`: replication says that
// every in-sync member holds everything up to it durably; only settled records are trimmed from the log (C6, C7).
// A read sees every change that was appended before it, whatever its state.
//
// Calls back. The host is called only from inside `start`, `diskDone`, `endBatch`, `tick` and `close`, never from inside
// another method (except `opIdNeeded`). Whoever calls the store ends its batch of inputs with `endBatch`: it delivers
// reads that were answered from memory, and appends that the host makes meanwhile belong to the same batch.

import type { DiskTimes } from '../../core/disk-meter.js';
import type { Micros, Token } from '../../core/ports.js';

import type { CacheCounts } from './cache-counts.js';

export interface Geometry {
  readonly sectorBytes: number;
  readonly blockBytes: number;
  readonly chunkBlocks: number;
  /** Blocks of an allocation unit. */
  readonly unitBlocks: number;
}

/** Blocks that one read or write of the store has at most. */
export const IO_BLOCKS_MAX = 64;

/** Who wrote what, as it stands in the record (C10). Reused by the caller; the store copies what it keeps. */
export interface WriteContext {
  comb: number;
  generationEpoch: number;
  generationNumber: number;
  /** The layer that is written; the first one of a volume has its key. */
  volumeKey: number;
  vtreeKey: number;
  volumeEpoch: number;
  chunkIndex: number;
  firstBlock: number;
  blockCount: number;
  /** Client run and operation number; run 0: no client operation (resync, repair). */
  run: number;
  opLow: number;
  opHigh: number;
  /** Other layers lie below: zeroes must hide what they hold, so they take a descriptor where there is none. */
  masks: boolean;
  /** What is written goes to the read cache, too. */
  caches: boolean;
}

/** A write context to fill in. */
export function makeContext(): WriteContext {
  return {
    comb: 0,
    generationEpoch: 0,
    generationNumber: 0,
    volumeKey: 0,
    vtreeKey: 0,
    volumeEpoch: 0,
    chunkIndex: 0,
    firstBlock: 0,
    blockCount: 0,
    run: 0,
    opLow: 0,
    opHigh: 0,
    masks: false,
    caches: false,
  };
}

export const STORE_STATUS = { ok: 0, zero: 1, corrupt: 2, failed: 3 } as const;
export type StoreStatus = (typeof STORE_STATUS)[keyof typeof STORE_STATUS];

/** A member's persisted view of a comb: opaque bytes of an encoded CombEntry, with its generation. */
export interface SavedEntry {
  readonly comb: number;
  readonly bytes: Uint8Array;
}

/** Blocks whose last change may be missing on another in-sync member. */
export interface UnsettledRange {
  readonly comb: number;
  readonly volumeKey: number;
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  readonly firstBlock: number;
  readonly blockCount: number;
}

export interface ChunkInfo {
  readonly volumeKey: number;
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  readonly comb: number;
  readonly stampEpoch: number;
  readonly stampNumber: number;
}

/** A chunk and where it stands in an order of the device's own. */
export interface ChunkPlace {
  readonly place: number;
  readonly chunk: ChunkInfo;
}

/** An operation of a client (C10). */
export interface OpRef {
  readonly run: number;
  readonly opLow: number;
  readonly opHigh: number;
}

/** What `room` says: `wait`: later, after a `storeProgress`; `full`: not before something is freed. */
export const ROOM = { ok: 0, wait: 1, full: 2 } as const;
export type Room = (typeof ROOM)[keyof typeof ROOM];

/** What `describe` fills in, one byte per block. `lost`, which only `describeSums` says: it cannot be known any more. */
export const BLOCK_STATE = { absent: 0, data: 1, zero: 2, lost: 3 } as const;

export interface StoreIdentity {
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
  /** Of this open; already durable. */
  readonly incarnation: number;
  /** Incarnation whose data this open carries on from; 0 after a format. */
  readonly dataIncarnation: number;
  /** The host booted since the device was last closed cleanly, and the device was in a volatile mode (`setVolatile`). */
  readonly rolledBack: boolean;
}

/** What the store tells its owner. Never called from inside a call of the owner except where said. */
export interface StoreHost {
  /** Recovery is done; everything below may be used. */
  storeOpened(nowUs: Micros, identity: StoreIdentity): void;
  /** Not ours, or broken beyond recovery; nothing was written. */
  storeRefused(nowUs: Micros, reason: string): void;
  /** writtenLsn or durableLsn went up, or there is room again. */
  storeProgress(nowUs: Micros): void;
  /** A read ended. `badMask` on corrupt: bit i = block i of the read. */
  storeRead(
    nowUs: Micros,
    token: Token,
    status: StoreStatus,
    badMaskLow: number,
    badMaskHigh: number,
  ): void;
  /** `describe` ended; states are in the array given. */
  storeDescribed(nowUs: Micros, token: Token, status: StoreStatus): void;
  /** A write or flush failed: the device is lost for good (C14); no further call will be answered. */
  storeFailed(nowUs: Micros, reason: string): void;
  /** Called while trimming, also from inside calls of the owner: must this op id survive a restart still (C10)? */
  opIdNeeded(run: number, opLow: number, opHigh: number): boolean;
}

/** Of `mergeConflicts`. */
export const MERGE_DOUBTFUL = -1;

/**
 * What a store offers for volumes that have snapshots. A layer is what was written to one member of a V-tree between two
 * cuts. A chunk of a layer is stored under the key of the layer; the first layer of a volume has the volume's key. A chain
 * names layers, the one that is written first, the root last: a block that is absent in a layer is read from the next one,
 * absent at the root it reads as zero. A volume that never had a snapshot has a chain of one, and none of this concerns it.
 */
interface LayerStore {
  /**
   * As `read`, through a chain: all layers are looked at in one moment. The owner's range lock keeps changes of all layers
   * of the V-tree away until it is answered.
   *
   * @param caches - as in `read`
   */
  readLayers(
    token: Token,
    layers: readonly number[],
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    bytes: Uint8Array,
    at: number,
    caches?: boolean,
  ): void;
  /** As `describe`, through a chain. */
  describeLayers(
    token: Token,
    layers: readonly number[],
    chunkIndex: number,
    states: Uint8Array,
  ): void;
  /** Within `storeRead` of a corrupt read through a chain: for each block the layer in which it was found, 0: nobody knows. */
  readonly badLayers: Uint32Array;

  /** Whether the layer holds anything of the chunk, or did. */
  hasChunk(layerKey: number, chunkIndex: number): boolean;
  /** Room for zeroes that hide what lies below (`masks`). Never `full` where the layer has a descriptor already. */
  maskRoom(layerKey: number, chunkIndex: number, forwarded: boolean): Room;

  /** Chunks of a layer; what comes while they are gone through may be listed or not. */
  chunksOf(layerKey: number): Iterable<ChunkInfo>;
  /** Whether no block of a layer's chunk holds data or zeroes; null: not known before a `storeProgress`. */
  isEmptied(layerKey: number, chunkIndex: number): boolean | null;
  /**
   * May a layer's chunk be merged into its child's right now? Asked right before `mergeConflicts` and `merge`. `full`: the
   * child needs a descriptor, and there is none.
   */
  mergeRoom(childKey: number, parentKey: number, chunkIndex: number, forwarded: boolean): Room;
  /**
   * Marks the blocks (1 each) that have to be written to the child before, because parts of the same unit are in both.
   * Returns how many, or MERGE_DOUBTFUL: what an unreadable descriptor lost here may be among them, and a merge that does not
   * write it would lose it on the other copies too. Only after `mergeRoom` said ok.
   */
  mergeConflicts(
    childKey: number,
    parentKey: number,
    chunkIndex: number,
    blocks: Uint8Array,
  ): number;
  /**
   * The child, which the context names, takes over what the parent holds of the chunk and the child lacks; the parent's
   * chunk is empty then. A change of both chunks, as one record. Returns the LSN. Only after `mergeRoom` said ok.
   */
  merge(context: WriteContext, parentKey: number): number;
}

/** What a store offers of blocks in memory; see read-cache.ts. */
interface CachingStore {
  /** The read cache may take so much memory from now on, and gives back what it has before it takes any. */
  setCacheSize(bytes: number): void;
  /** There is a read cache right now. */
  readonly cachesReads: boolean;
  /** Within `storeRead`: all that had to come from the device came from the read cache. */
  readonly wasCached: boolean;
  /** null: there is nothing to tell of. */
  cacheCounts(): CacheCounts | null;
}

export interface Store extends LayerStore, CachingStore {
  readonly geometry: Geometry;
  readonly writtenLsn: number;
  readonly durableLsn: number;
  /** As told by `settle`, also before a restart. */
  readonly settledLsn: number;
  /** LSN of the newest change; `wantDurable(lastLsn)` is a full flush. */
  readonly lastLsn: number;
  /** `close` is done: nothing more is written. */
  readonly closed: boolean;

  /** Starts recovery; `bootId` is a fact from the shell: it changes with each boot of the kernel. */
  start(nowUs: Micros, bootId: string): void;
  diskDone(nowUs: Micros, token: Token, ok: boolean): void;
  /** Ends a batch of appends: one disk write for all of them. Called by the owner at the end of each batch of inputs. */
  endBatch(nowUs: Micros): void;
  tick(nowUs: Micros): void;
  nextDeadlineUs(): Micros;

  /**
   * May these blocks be written right now? Asked right before each `write`. `zero` may be asked for with `blockCount` 0:
   * it is never `full`, and it needs no asking as long as the owner bounds what it has in flight. Zeroes of a context that
   * masks ask `maskRoom`.
   *
   * @param forwarded - by another primary: taken for longer than what clients ask for (default: not)
   */
  room(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    forwarded?: boolean,
  ): Room;
  /**
   * Blocks that can still be written wherever each of them falls, after reserves: what a member grants as credit (C12).
   * A block in an unallocated place takes a whole unit, so this counts free units. Overwriting takes none.
   */
  freeBlocks(): number;
  /** From now on `thinBlocks` leaves out this much of the device. */
  keepFree(bytes: number): void;
  /** `freeBlocks` less what is kept: what changes of thin volumes may take. */
  thinBlocks(): number;
  /** Whether writing these blocks takes free space; overwriting what has its place does not. */
  takesSpace(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): boolean;
  /**
   * Appends whole blocks, at most IO_BLOCKS_MAX: `blockCount` CRCs (u32 little-endian, seeded) at `crcsAt`, data at `dataAt`, copied before it
   * returns. The caller verified the CRCs: a record whose data does not match them counts as torn after a crash.
   * Blocks that are all zero where nothing is allocated allocate nothing. Returns the LSN.
   */
  write(context: WriteContext, bytes: Uint8Array, crcsAt: number, dataAt: number): number;
  /** Appends a change to zero; `discard`: the space may be given back, and without `masks` the blocks are absent then. */
  zero(context: WriteContext, discard: boolean): number;
  /**
   * Reads at most IO_BLOCKS_MAX blocks: CRCs to `at`, data behind them, verified. Status `zero`: every block is absent or zero
   * and nothing was filled in. Answered by `storeRead`, never from inside this call.
   *
   * @param caches - blocks may come from the read cache, and go there (default: not)
   */
  read(
    token: Token,
    volumeKey: number,
    vtreeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
    bytes: Uint8Array,
    at: number,
    caches?: boolean,
  ): void;
  /** Fills one byte per block of the chunk (BLOCK_STATE). Answered by `storeDescribed`, never from inside this call. */
  describe(token: Token, volumeKey: number, chunkIndex: number, states: Uint8Array): void;
  /** As `describe`, with the checksum of each block that holds data, and without a guess where the description is lost. */
  describeSums(
    token: Token,
    volumeKey: number,
    chunkIndex: number,
    states: Uint8Array,
    sums: Uint32Array,
  ): void;
  /** The first chunk at or behind a place, or null: there is none. */
  chunkFrom(place: number): ChunkPlace | null;

  /** Asks that everything up to `lsn` becomes durable soon (group commit). */
  wantDurable(lsn: number): void;
  /** Replication settled everything up to `lsn`. */
  settle(lsn: number): void;

  /** Whether writes are acknowledged before they are on media; returns the LSN at whose durability it counts. */
  setVolatile(volatileMode: boolean): number;
  /** Format of the device on media: nothing that came with a later one may be given to it. */
  readonly format: number;
  /** The device may be written in this format from its next checkpoint on; never lowered, bounded by DISK_FORMAT_MAX. */
  raiseFormat(format: number): void;
  /** Persists entries, at most 96 bytes each, empty bytes: forgets it; returns the LSN at whose durability they count. */
  saveEntries(entries: readonly SavedEntry[]): number;
  /** Entries as recovered or saved. */
  entries(): Iterable<SavedEntry>;

  /**
   * Chunks of a comb that were stamped after the generation; (0, 0): all. In a stable order. A chunk that was written and
   * then discarded as a whole is still listed with its stamp: another copy may lack the discard (C6).
   */
  chunksStampedAfter(comb: number, epoch: number, number: number): Iterable<ChunkInfo>;
  /** Records that are not settled, of one comb. */
  unsettledRanges(comb: number): Iterable<UnsettledRange>;
  /** Stamps the chunks of the unsettled records of a comb with a generation; returns the LSN. */
  restampUnsettled(comb: number, epoch: number, number: number): number;
  /** The operation is known to have been applied here (records of the log, also from before a restart). */
  knowsOp(run: number, opLow: number, opHigh: number): boolean;
  /** Operations of one comb that are known here, in a stable order. */
  knownOps(comb: number): Iterable<OpRef>;
  /**
   * Forgets all operations of a comb that are known so far, for good, also after a restart: what they changed may be
   * overwritten by another copy's content. Returns the LSN of a record that says so.
   */
  forgetOps(comb: number): number;
  /**
   * Records that copies may hold at a member before they are settled, all that primaries make there together. A member keeps them
   * beside what it takes of clients' changes.
   */
  readonly copyRecordsMax: number;
  /** May so many operations be noted right now? false: after a `storeProgress`, perhaps. */
  roomForNotes(count: number): boolean;
  /** Notes an operation that another copy applied; `blockCount` of the context is not used. Returns the LSN. */
  noteOp(context: WriteContext): number;

  /** Frees all chunks of a volume that a committed tombstone names. */
  freeVolume(volumeKey: number): void;
  /**
   * Frees all chunks of a comb that this device carries no more, until `keepComb`. Not remembered over a restart: the owner,
   * who keeps the entry that says so, says it again.
   */
  dropComb(comb: number): void;
  /** The comb is carried again: what is still there of it stays. */
  keepComb(comb: number): void;
  /** Volumes that have chunks here. */
  volumes(): Iterable<{ readonly volumeKey: number; readonly usedBytes: number }>;
  usage(): { readonly capacityBytes: number; readonly usedBytes: number };
  /** How long the requests of the device took so far. */
  times(): DiskTimes;
  /** Ends cleanly: everything durable, marked as cleanly closed. Answered by storeProgress with `closed`. */
  close(nowUs: Micros): void;
}
