// What the parts of a data machine share: ports, tables of combs, peers, clients and operations, and the doors between
// the parts. It owns look-ups and small facts that several parts need; it must never decide anything.

import type { ClusterMap } from '../cluster-map/cluster-map.js';
import type { PoolMap } from '../cluster-map/pool-map.js';
import type { LinkId, Links, Log, Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import type { BlockRange, CombEntry, ControlBodies } from '../protocol/generated/types.js';
import type { ControlCode } from '../protocol/control.js';
import { BufferPool } from './buffers.js';
import { Caching } from './caching.js';
import { Clients } from './clients.js';
import { Comb } from './comb.js';
import type { Member } from './comb.js';
import { OpPool } from './op.js';
import type { Op } from './op.js';
import { CopyWorks } from './copy-work.js';
import type { DataIdentity, DataOptions } from './options.js';
import { PeerDevice } from './peer.js';
import { RangeLock } from './range-lock.js';
import { IO_BLOCKS_MAX } from './store/store.js';
import type { Geometry, Store, StoreIdentity, WriteContext } from './store/store.js';
import { Volumes } from './volumes.js';

const SMALL_BUFFERS_MAX = 1024;
const LARGE_BUFFERS_MAX = 96;
/** A partial write reads up to two blocks beside its own. */
const EDGE_BLOCKS = 2;

/** Life of the machine. */
export type Stage = 'opening' | 'waiting' | 'serving' | 'closing' | 'ended';

/** Timing that the system agreed on (C5), in microseconds. */
export interface Timing {
  readonly leaseUs: Micros;
  readonly detectionUs: Micros;
  readonly driftPercent: number;
}

// Doors between the parts. Each part is given the shared state and calls the others through these.

export interface ServePart {
  granted(nowUs: Micros, op: Op): void;
  /** Answers, releases and frees an operation. */
  finish(nowUs: Micros, op: Op, status: number): void;
  /** A committed entry may have taken away what flushes wait for. */
  membersChanged(nowUs: Micros): void;
  /** The comb is served no more: what has not begun is refused, flushes are refused. */
  interrupt(nowUs: Micros, comb: Comb): void;
}

export interface StabilityPart {
  /** The operation stands in the log here under `lsn`, and was forwarded. */
  applied(op: Op, lsn: number): void;
  /** Membership changed: nobody waits for members that left, and a lone survivor acknowledges from media (C4). */
  membersChanged(nowUs: Micros, comb: Comb): void;
}

export interface ForwardPart {
  /** Whole blocks of an operation or a copy; CRCs at `crcsAt`, bytes behind them. Returns the tag. */
  write(
    member: Member,
    comb: Comb,
    context: WriteContext,
    flags: number,
    handle: number,
    bytes: Uint8Array,
    crcsAt: number,
  ): number;
  zero(member: Member, comb: Comb, context: WriteContext, flags: number, handle: number): number;
  /** The layer of the context takes over the chunk of the one below. */
  merge(
    member: Member,
    comb: Comb,
    context: WriteContext,
    flags: number,
    handle: number,
    parentKey: number,
  ): number;
  /** Asks for everything forwarded so far on media; returns the tag to wait for. */
  flush(peer: PeerDevice): number;
  /** A control frame that takes its number among what is forwarded; `media`: it must get durable soon. */
  control<C extends ControlCode>(
    peer: PeerDevice,
    code: C,
    body: ControlBodies[C],
    media: boolean,
  ): number;
}

export interface PeeringPart {
  /** A comb whose primary is here has a new entry or a peer a new link: opens it at its members. */
  open(nowUs: Micros, comb: Comb): void;
  /** A member's link is gone, or it must start anew. */
  lost(nowUs: Micros, comb: Comb, member: Member): void;
  /** Serves if nothing is in the way any more. */
  activateIfReady(nowUs: Micros, comb: Comb): void;
  /** The peer serves no read of the comb any more, whatever lease it holds (C5). */
  released(nowUs: Micros, comb: Comb, peer: PeerDevice): void;
}

export interface ResyncPart {
  /** The target joined: begins to copy what it lacks. */
  begin(comb: Comb, member: Member): void;
  /** Makes a joined member in sync equal in these ranges (C7); `comb.equalizing` goes down as copies end. */
  equalize(comb: Comb, member: Member, ranges: readonly BlockRange[]): void;
  /** Sends an operation again to a member that came back, from the store. */
  resend(comb: Comb, member: Member, op: Op): void;
}

export interface MembershipPart {
  /** Takes over committed entries that are news, persists them, and acts on them. */
  adopt(nowUs: Micros, entries: Iterable<CombEntry>): void;
}

export interface SettlingPart {
  /** Changes of this comb since an LSN are not settled, and whoever could say so is gone; Infinity: there are none. */
  regimeEnds(comb: Comb, fromLsn: number): void;
  /** No other copy needs them any more, or their chunks were stamped anew: nothing stands open in this comb. */
  resolved(comb: Comb): void;
  /** Settles as far as everything allows. */
  settle(): void;
  /** A round is worth its flushes at once. */
  soon(): void;
  /** Nothing is settled before this LSN is durable: chunks were stamped anew (C6). */
  stamped(lsn: number): void;
  /** The next complete round of settling resolves the comb. */
  resolveByRound(comb: Comb): void;
  /** LSN before the oldest change of this primary that is not settled. */
  ownSettledLsn(): number;
  /** Something was forwarded, if only a word: the peer keeps its log from there on until it is settled. */
  forwarded(): void;
  /** A change was appended by this device as primary. */
  appended(blocks: number): void;
  /** May a further copy be forwarded to the peer? false: after a round, which is begun. */
  takesCopy(peer: PeerDevice): boolean;
}

export interface ChangesPart {
  /** A comb may need a change of its members. */
  consider(comb: Comb): void;
}

export interface LeasesPart {
  /** What both sides go by has changed: asks soon. */
  askSoon(peer: PeerDevice): void;
  /** Tells the new primary that no read is served here any more. */
  release(comb: Comb, to: PeerDevice): void;
  /** Sends entries that it may lack, on the present link. */
  tellEntries(peer: PeerDevice, entries: readonly CombEntry[]): void;
}

export interface LeftoversPart {
  /** An entry was taken over, and counts when `lsn` is durable: the chunks of a comb without this device go. */
  adopted(comb: Comb, lsn: number): void;
}

export interface Parts {
  serve: ServePart;
  stability: StabilityPart;
  forward: ForwardPart;
  peering: PeeringPart;
  resync: ResyncPart;
  membership: MembershipPart;
  settling: SettlingPart;
  changes: ChangesPart;
  leases: LeasesPart;
  leftovers: LeftoversPart;
}

export class Shared {
  readonly links: Links;
  readonly log: Log;
  readonly store: Store;
  readonly identity: DataIdentity;
  readonly options: DataOptions;
  readonly copies = new CopyWorks();
  readonly geometry: Geometry;
  readonly sectorsPerBlock: number;
  readonly chunkSectors: number;
  readonly ioBlocksMax: number;
  readonly caching: Caching;

  stage: Stage = 'opening';
  /** Time of the running input. */
  nowUs: Micros = 0;
  startedUs: Micros = 0;
  deviceKey = 0;
  incarnation = 0;
  /** LSN of the newest change that was found when the device was opened. */
  recoveredLsn = 0;
  poolKey = 0;
  device: StoreIdentity | null = null;
  timing: Timing;
  /** View of the cluster, and of this device's pool in it. */
  map: ClusterMap;
  pool: PoolMap | null = null;
  /** Writes are acknowledged from media. */
  mediaMode = true;

  readonly volumes = new Volumes();
  readonly clients: Clients;
  readonly ops: OpPool;
  readonly lock = new RangeLock();
  readonly buffers: BufferPool;
  /** By comb number; holes where this device has no part. */
  readonly combs: (Comb | undefined)[] = [];
  private known: readonly Comb[] = [];
  readonly peers: PeerDevice[] = [];
  private readonly peersByKey = new Map<number, PeerDevice>();
  private readonly peersByLink = new Map<LinkId, PeerDevice>();
  private wired: Parts | null = null;

  constructor(
    links: Links,
    log: Log,
    store: Store,
    identity: DataIdentity,
    options: DataOptions,
    map: ClusterMap,
  ) {
    this.links = links;
    this.log = log;
    this.store = store;
    this.clients = new Clients(options.clientSilenceMs * MICROS_PER_MS);
    this.identity = identity;
    this.options = options;
    this.map = map;
    const geometry = store.geometry;
    this.geometry = geometry;
    this.caching = new Caching(store, geometry);
    this.sectorsPerBlock = geometry.blockBytes / geometry.sectorBytes;
    this.chunkSectors = geometry.chunkBlocks * this.sectorsPerBlock;
    this.ioBlocksMax = Math.min(IO_BLOCKS_MAX, geometry.chunkBlocks);
    this.timing = {
      leaseUs: options.leaseMs * MICROS_PER_MS,
      detectionUs: options.detectionMs * MICROS_PER_MS,
      driftPercent: options.driftPercent,
    };
    this.ops = new OpPool(options.inFlightMax);
    this.buffers = new BufferPool(
      geometry.blockBytes,
      this.ioBlocksMax + EDGE_BLOCKS,
      SMALL_BUFFERS_MAX,
      LARGE_BUFFERS_MAX,
    );
  }

  /** The other parts; set once, before the first input. */
  get parts(): Parts {
    if (this.wired === null) throw new Error('the parts are wired before the first input');
    return this.wired;
  }

  wire(parts: Parts): void {
    this.wired = parts;
  }

  /** How long a lease that was given may be in use at the other end, by the clock of this process. */
  grantUs(): Micros {
    return Math.ceil((this.timing.leaseUs * (100 + this.timing.driftPercent)) / 100);
  }

  peerOf(nowUs: Micros, key: number): PeerDevice {
    let peer = this.peersByKey.get(key);
    if (peer === undefined) {
      // An earlier life of this process may have given a lease just before it ended.
      peer = new PeerDevice(this.peers.length, key, nowUs, this.startedUs + this.grantUs());
      this.peers.push(peer);
      this.peersByKey.set(key, peer);
    }
    return peer;
  }

  findPeer(link: LinkId): PeerDevice | undefined {
    return this.peersByLink.get(link);
  }

  bindLink(peer: PeerDevice, link: LinkId): void {
    if (peer.link >= 0) this.peersByLink.delete(peer.link);
    peer.link = link;
    if (link >= 0) this.peersByLink.set(link, peer);
  }

  comb(index: number): Comb | undefined {
    return this.combs[index];
  }

  makeComb(index: number): Comb {
    while (this.combs.length <= index) this.combs.push(undefined);
    const known = this.combs[index];
    if (known !== undefined) return known;
    const comb = new Comb(index);
    this.combs[index] = comb;
    this.known = this.combs.filter((one) => one !== undefined);
    return comb;
  }

  /** In order of their numbers. */
  knownCombs(): readonly Comb[] {
    return this.known;
  }
}
