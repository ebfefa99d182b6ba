// The data process and the MDM: registration, heartbeats, and what a new view of the cluster means here (C13, C14). It owns
// the sequence that this device reports as applied; it must never report one while I/O of a revoked mapping is under way.

import type { ClusterMap, MapUpdate } from '../cluster-map/cluster-map.js';
import { RangeTurn, inRange } from '../core/key-range.js';
import { mark } from '../core/marks.js';
import type { Micros } from '../core/ports.js';
import { MICROS_PER_MS } from '../core/units.js';
import { MdmClient } from '../mdm-client/mdm-client.js';
import type { MdmClientHost, Registration } from '../mdm-client/host.js';
import type { ControlMessage } from '../protocol/control.js';
import { ERR, LIMIT, MSG } from '../protocol/generated/constants.js';
import type {
  CombEntry,
  CombMemory,
  ControlBodies,
  Counter,
  ErrorDetail,
  LayerAt,
  Usage,
} from '../protocol/generated/types.js';
import { errorText } from '../protocol/error-text.js';
import type { Changes } from './changes.js';
import type { Cuts } from './cuts.js';
import type { Leftovers } from './leftovers.js';
import { PART } from './comb.js';
import { COPY_KIND } from './copy-work.js';
import type { Membership } from './membership.js';
import type { Merging } from './merging.js';
import { OP_KIND, OP_PHASE } from './op.js';
import type { Op } from './op.js';
import type { PeerLinks } from './peer-links.js';
import type { Peering } from './peering.js';
import type { Resync } from './resync.js';
import type { Scanner } from './scanner.js';
import type { Shared } from './shared.js';
import { Totals } from './volumes.js';

const MARKS = {
  drained: mark('sds.mdm: revoked I/O had to drain before a view counted as applied'),
  revokedWaiting: mark('sds.mdm: a waiting operation lost its mapping'),
  stale: mark('sds.mdm: an operation had to end because its volume has other layers now'),
  stopped: mark('sds.mdm: I/O had to end before its pool counted as stopped'),
  opened: mark('sds.mdm: clients are admitted from now on'),
};

/** No comb has a higher number. */
const LAST_COMB = 0xffffffff;
/** Until the MDM answers a registration it is asked again after this long. */
const ANSWER_TIMEOUT_MS = 3000;

/** The parts that a new view concerns. */
export interface MdmTopics {
  readonly membership: Membership;
  readonly peerLinks: PeerLinks;
  readonly peering: Peering;
  readonly resync: Resync;
  readonly leftovers: Leftovers;
  readonly merging: Merging;
  readonly cuts: Cuts;
  readonly scanner: Scanner;
}

export class MdmLink implements MdmClientHost {
  readonly client: MdmClient;
  private readonly shared: Shared;
  private topics: MdmTopics | null = null;
  private changes: Changes | null = null;
  /** Newest view, and the newest that is applied and drained. */
  private wantedSequence = 0;
  private appliedSequence = 0;
  private readonly reportTurn = new RangeTurn();
  private entriesLsn = 0;
  /** Raised by completed work and by idle turns (C14). */
  private progress = 0;
  private lastDurableLsn = -1;
  private lastWrittenLsn = -1;

  constructor(shared: Shared) {
    this.shared = shared;
    const { options } = shared;
    this.client = new MdmClient(shared.links, shared.log, this, {
      addresses: options.mdmAddresses,
      heartbeatMs: options.heartbeatMs,
      requestTimeoutMs: ANSWER_TIMEOUT_MS,
      retryMsMin: options.dialMsMin,
      retryMsMax: options.dialMsMax,
      seed: options.seed,
    });
  }

  wire(topics: MdmTopics, changes: Changes): void {
    this.topics = topics;
    this.changes = changes;
  }

  registration(): Registration | null {
    const { device, identity } = this.shared;
    if (device === null) return null;
    return {
      code: MSG.REGISTER_DEVICE,
      body: {
        deviceKey: device.deviceKey,
        sdsKey: identity.sdsKey,
        incarnation: device.incarnation,
        dataIncarnation: device.dataIncarnation,
        rolledBack: device.rolledBack,
        port: identity.dataPort,
        version: identity.version,
        usage: this.usage(),
        epoch: this.highestEpoch(),
      },
    };
  }

  registered(_nowUs: Micros, reply: ControlMessage | null): void {
    if (reply?.code !== MSG.REGISTER_DEVICE_REPLY) return;
    this.reportTurn.restart();
    const { leaseMs, detectionMs, driftPercent } = reply.body;
    this.shared.timing = {
      leaseUs: leaseMs * MICROS_PER_MS,
      detectionUs: detectionMs * MICROS_PER_MS,
      driftPercent,
    };
    this.changes?.considerAll();
  }

  refused(_nowUs: Micros, status: number, details: readonly ErrorDetail[]): void {
    this.shared.log.event('warn', 'sds.registration-refused', {
      reason: errorText(status, details),
    });
  }

  heartbeat(): ControlBodies[typeof MSG.HEARTBEAT] | null {
    this.noteProgress();
    // A layer that was merged is told of no more: when no device tells of it, its removal is committed.
    const held = [...this.shared.store.volumes()].filter(
      ({ volumeKey }) => this.topics?.merging.isMerged(volumeKey) !== true,
    );
    const busy = this.counters();
    const keys = new Set([...held.map((one) => one.volumeKey), ...busy.map(({ key }) => key)]);
    // One counter more is that of the device itself.
    const range = this.reportTurn.next([...keys], LIMIT.countersMax - 1);
    return {
      progress: this.progress,
      appliedSequence: this.appliedSequence,
      usage: this.usage(),
      listedAfter: range.after,
      listedThrough: range.through,
      counters: [...busy.filter(({ key }) => inRange(key, range)), this.deviceCounter()],
      volumes: held.filter(({ volumeKey }) => inRange(volumeKey, range)),
    };
  }

  mapChanged(nowUs: Micros, map: ClusterMap, parts: readonly MapUpdate[]): void {
    const { shared, topics } = this;
    if (topics === null) return;
    shared.map = map;
    shared.pool = map.pools.get(shared.poolKey) ?? null;
    shared.store.raiseFormat(Math.max(...parts.map(({ clusterVersion }) => clusterVersion)));
    this.applyMode();
    shared.caching.apply(shared.pool?.pool ?? null);
    shared.volumes.apply(map, parts);
    const entries: CombEntry[] = [];
    for (const part of parts)
      for (const { poolKey, combs } of part.combs)
        if (poolKey === shared.poolKey) entries.push(...combs);
    this.wantedSequence = map.sequence;
    if (shared.stage === 'waiting') {
      MARKS.opened.hits++;
      shared.stage = 'serving';
    }
    topics.membership.adopt(nowUs, entries);
    this.entriesLsn = Math.max(this.entriesLsn, topics.membership.savedLsn);
    topics.leftovers.mapChanged(nowUs, parts);
    this.revoke(nowUs);
    for (const key of map.freedLayers) shared.store.freeVolume(key);
    topics.merging.mapChanged();
    topics.cuts.mapChanged(nowUs);
    topics.scanner.mapChanged(nowUs);
    topics.peerLinks.mapChanged(nowUs);
    this.changes?.considerAll();
    for (const comb of shared.knownCombs()) topics.peering.activateIfReady(nowUs, comb);
    this.applyIfDrained(nowUs);
  }

  pushed(nowUs: Micros, message: ControlMessage): void {
    if (message.code === MSG.COMBS_WANTED) {
      this.tellCombs(message.body.from);
      return;
    }
    if (message.code === MSG.DEVICE_BUDGET) {
      this.shared.store.keepFree(message.body.keptBytes);
      return;
    }
    if (message.code === MSG.CUT_HOLD) {
      this.topics?.cuts.hold(nowUs, message.body);
      return;
    }
    if (message.code === MSG.CUT_DROP) {
      this.topics?.cuts.drop(message.body.cut);
      return;
    }
    if (message.code === MSG.LAYERS_WANTED) {
      this.tellLayers(message.body.after);
      return;
    }
    this.shared.log.event('debug', 'sds.unexpected-message', { code: message.code });
  }

  disconnected(_nowUs: Micros, reason: string): void {
    this.shared.log.event('warn', 'sds.mdm-lost', { reason });
  }

  /** Reports a view as applied as soon as what it revoked is drained and its entries are durable. */
  applyIfDrained(nowUs: Micros): void {
    if (this.appliedSequence === this.wantedSequence) return;
    if (this.shared.store.durableLsn < this.entriesLsn) return;
    for (const op of this.shared.ops.inUse()) if (op.revoked !== 0) return;
    this.appliedSequence = this.wantedSequence;
    this.client.beatNow(nowUs);
  }

  /**
   * Operations of mappings that are gone, or of a pool in which I/O is stopped: those that have begun end, the others never
   * happen. A stop is no reason to fail: the client asks again.
   */
  private revoke(nowUs: Micros): void {
    const isStopped = this.shared.pool?.pool.active === false;
    for (const op of this.shared.ops.inUse()) {
      if (op.kind === OP_KIND.flush || op.kind === OP_KIND.merge) continue;
      const isGranted = this.isGranted(op);
      const isStale = isGranted && op.volume?.layers !== op.layers;
      if (isGranted && !isStopped && !isStale) continue;
      if (op.revoked === 0) {
        if (isStale) MARKS.stale.hits++;
        else if (isGranted) MARKS.stopped.hits++;
        else MARKS.drained.hits++;
      }
      const mayAskAgain = isGranted || op.volume?.grants.has(op.sdcKey) === true;
      op.revoked = mayAskAgain ? ERR.NOT_READY : ERR.MAPPING_REVOKED;
      if (isStale && !isStopped) op.revoked = ERR.STALE_VOLUME_EPOCH;
      if (op.phase !== OP_PHASE.locking || op.loads > 0) continue;
      MARKS.revokedWaiting.hits++;
      this.shared.parts.serve.finish(nowUs, op, op.revoked);
    }
  }

  /** Metadata that was restored learns from the devices what happened since, and a check compares with them. */
  private tellCombs(from: number): void {
    const memories: CombMemory[] = [];
    let through = LAST_COMB;
    for (const { index, entry, inSyncUntil, changedSince } of this.shared.knownCombs()) {
      if (index < from || entry === null) continue;
      if (memories.length === LIMIT.combsPerPage) {
        through = memories.at(-1)?.entry.index ?? from;
        break;
      }
      memories.push({ entry, inSyncUntil, changedSince });
    }
    const { poolKey } = this.shared;
    const more = through !== LAST_COMB;
    this.client.tell(MSG.COMBS_REMEMBERED, { poolKey, from, through, more, memories });
  }

  /** Restored metadata learns of layers that it does not know. */
  private tellLayers(after: number): void {
    const { store } = this.shared;
    const keys = [...store.volumes()]
      .map(({ volumeKey }) => volumeKey)
      .filter((key) => key > after);
    keys.sort((one, other) => one - other);
    const layers: LayerAt[] = [];
    for (const layerKey of keys.slice(0, LIMIT.queryItemsMax))
      for (const { vtreeKey } of store.chunksOf(layerKey)) {
        layers.push({ layerKey, vtreeKey });
        break;
      }
    this.client.tell(MSG.LAYERS_REMEMBERED, {
      ...{ after, layers, more: keys.length > LIMIT.queryItemsMax },
    });
  }

  private highestEpoch(): number {
    let epoch = 0;
    for (const comb of this.shared.knownCombs()) epoch = Math.max(epoch, comb.epoch);
    return epoch;
  }

  private isGranted(op: Op): boolean {
    const { volume } = op;
    if (volume === null || this.shared.volumes.find(volume.key) !== volume) return false;
    return volume.grants.get(op.sdcKey)?.generation === op.authority;
  }

  private applyMode(): void {
    const { shared } = this;
    if (shared.pool === null) return;
    const mediaMode = shared.pool.pool.durability === 'media';
    if (mediaMode === shared.mediaMode && this.appliedSequence > 0) return;
    shared.mediaMode = mediaMode;
    shared.store.wantDurable(shared.store.setVolatile(!mediaMode));
  }

  /** Work that is under way and does not end is no progress, whatever else this loop does. */
  private noteProgress(): void {
    const { store, ops } = this.shared;
    const moved =
      store.durableLsn !== this.lastDurableLsn || store.writtenLsn !== this.lastWrittenLsn;
    const owes = store.writtenLsn < store.lastLsn;
    let loading = false;
    for (const op of ops.inUse()) if (op.loads > 0 || op.waitsHere) loading = true;
    if (moved || (!owes && !loading)) this.progress++;
    this.lastDurableLsn = store.durableLsn;
    this.lastWrittenLsn = store.writtenLsn;
  }

  private usage(): Usage {
    const { capacityBytes, usedBytes } = this.shared.store.usage();
    const { resync } = this.topics ?? { resync: null };
    const { copies, nowUs } = this.shared;
    let degradedCombs = 0;
    let rebuildBytesLeft = 0;
    let rebalanceBytesLeft = 0;
    for (const comb of this.shared.knownCombs()) {
      if (comb.part !== PART.primary) continue;
      const left = resync?.fillingBytesLeft(comb) ?? 0;
      if (comb.alone) {
        degradedCombs++;
        rebuildBytesLeft += left;
      } else rebalanceBytesLeft += left;
    }
    return {
      capacityBytes,
      usedBytes,
      resyncBytesTotal: resync?.bytesTotal ?? 0,
      resyncBytesDone: resync?.bytesDone ?? 0,
      degradedCombs,
      rebuildBytesLeft,
      rebalanceBytesLeft,
      resync: copies.of(COPY_KIND.resync).load(nowUs),
      rebuild: copies.of(COPY_KIND.rebuild).load(nowUs),
      rebalance: copies.of(COPY_KIND.rebalance).load(nowUs),
      times: this.shared.store.times(),
      cache: this.shared.caching.usage(),
      scan: this.topics?.scanner.counts() ?? null,
    };
  }

  /** Of the volumes that anything was done with. */
  private counters(): readonly Counter[] {
    const list: Counter[] = [];
    for (const { key, totals } of this.shared.volumes.all())
      if (totals.readOps + totals.writeOps + totals.trimOps > 0) list.push(totals.asCounter(key));
    return list;
  }

  private deviceCounter(): Counter {
    const device = new Totals();
    for (const { totals } of this.shared.volumes.all()) device.add(totals);
    return device.asCounter(this.shared.deviceKey);
  }
}
