// The client machine: serves all volumes that are mapped to this host. It owns the wiring of the session with the MDM,
// the volumes and the data path; each part owns its topic. It must never do I/O, nor know a transport of block devices.

import type { ClusterMap } from '../cluster-map/cluster-map.js';
import { RangeTurn, inRange } from '../core/key-range.js';
import type {
  LinkId,
  Links,
  LinkTarget,
  Log,
  Machine,
  Micros,
  Peer,
  Token,
} from '../core/ports.js';
import { MdmClient } from '../mdm-client/mdm-client.js';
import type { MdmClientHost, Registration } from '../mdm-client/host.js';
import type { ControlMessage } from '../protocol/control.js';
import { ERR, LIMIT, MSG } from '../protocol/generated/constants.js';
import type { CombEntry, ControlBodies, ErrorDetail } from '../protocol/generated/types.js';
import { errorText } from '../protocol/error-text.js';

import type { BlockBack, BlockFront, BlockVolume, IoKind } from './block-front.js';
import { IoEngine } from './io-engine.js';
import { MappedVolume } from './mapped-volume.js';
import type { ClientIdentity, ClientOptions } from './options.js';

/** The doors of a client machine. */
export interface ClientPorts {
  readonly links: Links;
  readonly log: Log;
  readonly front: BlockFront;
  /** The MDM said who this client is; told again when it changes. */
  registered?(sdcKey: number, run: number, systemId: string, approved: boolean): void;
}

/** News for the front end, told at the end of the batch, in order. */
interface News {
  readonly kind: 'added' | 'changed' | 'removed';
  readonly key: number;
  readonly volume: BlockVolume | null;
}

export class Sdc implements Machine, BlockBack, MdmClientHost {
  private readonly ports: ClientPorts;
  private readonly identity: ClientIdentity;
  private readonly options: ClientOptions;
  private readonly session: MdmClient;
  private readonly engine: IoEngine;
  private readonly mapped = new Map<number, MappedVolume>();
  private readonly reportTurn = new RangeTurn();
  private readonly news: News[] = [];
  private sdcKey = 0;
  private run = 0;
  private progress = 0;
  private learned = false;
  /** Map up to which all volumes can be used. */
  private readySequence = 0;

  constructor(ports: ClientPorts, identity: ClientIdentity, options: ClientOptions) {
    this.ports = ports;
    this.identity = identity;
    this.options = options;
    this.session = new MdmClient(ports.links, ports.log, this, options.mdm);
    this.engine = new IoEngine(
      options,
      ports.links,
      ports.log,
      ports.front,
      {
        learn: (poolKey, entry) => this.learn(poolKey, entry),
        isConnected: () => this.session.isRegistered(),
      },
      this.session.map,
    );
  }

  /** Begins to look for the MDM. Once, before any other input. */
  start(nowUs: Micros): void {
    this.session.start(nowUs);
  }

  /** The MDMs of the system are elsewhere from now on. I/O does not notice. */
  lookAt(nowUs: Micros, addresses: LinkTarget['addresses']): void {
    this.session.lookAt(nowUs, addresses);
  }

  /** Object key of this client, 0 before the first registration. */
  get key(): number {
    return this.sdcKey;
  }

  /** The newest view of the cluster. */
  get map(): ClusterMap {
    return this.session.map;
  }

  /** Requests and operations that have not ended: 0 at rest. */
  get openCount(): number {
    return this.engine.openCount;
  }

  /** The MDM knows this client now. */
  get isConnected(): boolean {
    return this.session.isRegistered();
  }

  /** A complete map has been heard since the start. */
  get hasMap(): boolean {
    return this.session.map.sequence > 0;
  }

  volumes(): Iterable<BlockVolume> {
    return [...this.mapped.values()]
      .sort((one, other) => one.key - other.key)
      .map((volume) => volume.describe());
  }

  submit(
    nowUs: Micros,
    volumeKey: number,
    kind: IoKind,
    offsetBytes: number,
    lengthBytes: number,
    fua: boolean,
    bytes: Uint8Array,
    at: number,
    token: Token,
  ): boolean {
    const volume = this.mapped.get(volumeKey);
    return this.engine.submit(nowUs, volume, kind, offsetBytes, lengthBytes, fua, bytes, at, token);
  }

  /** The front end is ready again: the MDM may be waiting for that. */
  frontReady(nowUs: Micros): void {
    if (this.readySequence < this.session.map.sequence) this.session.beatNow(nowUs);
  }

  abandon(nowUs: Micros, isGone: (token: Token) => boolean): void {
    this.engine.abandon(nowUs, isGone);
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    if (this.session.owns(link)) this.session.linkUp(nowUs, link, peer);
    else this.engine.linkUp(nowUs, link, peer);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    if (this.session.owns(link)) this.session.linkDown(nowUs, link, reason);
    else this.engine.linkDown(nowUs, link, reason);
  }

  frame(
    nowUs: Micros,
    link: LinkId,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    bodyBytes: number,
  ): boolean {
    if (!this.engine.frame(nowUs, link, bytes, view, at, bodyBytes))
      return this.session.frame(nowUs, link, bytes, view, at);
    this.progress += 1;
    return true;
  }

  tick(nowUs: Micros): void {
    this.session.tick(nowUs);
    this.engine.tick(nowUs);
  }

  nextDeadlineUs(): Micros {
    return Math.min(this.session.nextDeadlineUs(), this.engine.nextDeadlineUs());
  }

  /** Ends a batch of inputs: entries that refusals taught, then what front ends hear. */
  endBatch(nowUs: Micros): void {
    if (this.learned) {
      this.learned = false;
      this.takeMap(nowUs, this.session.map);
    }
    this.engine.deliver(nowUs);
    // The MDM waits for clients to have heard of a mapping before it answers the command.
    const applied = this.news.length > 0;
    while (this.news.length > 0) {
      for (const item of this.news.splice(0)) this.tell(nowUs, item);
      this.engine.deliver(nowUs);
    }
    if (applied) this.session.beatNow(nowUs);
  }

  private tell(nowUs: Micros, item: News): void {
    const { front } = this.ports;
    if (item.volume === null) front.volumeRemoved(nowUs, item.key);
    else if (item.kind === 'added') front.volumeAdded(nowUs, item.volume);
    else front.volumeChanged(nowUs, item.volume);
  }

  // What the session tells.

  registration(): Registration {
    return { code: MSG.REGISTER_SDC, body: { ...this.identity, run: this.run } };
  }

  registered(nowUs: Micros, reply: ControlMessage | null): void {
    if (reply?.code !== MSG.REGISTER_SDC_REPLY) return;
    const { sdcKey, run, approved, systemId } = reply.body;
    if (this.run !== 0 && (run !== this.run || sdcKey !== this.sdcKey)) {
      // Operations of the old run could not be told apart from new ones: a client keeps its run for life.
      this.ports.log.event('error', 'sdc.run-changed', { run, sdcKey });
      return;
    }
    this.run = run;
    this.sdcKey = sdcKey;
    this.ports.links.identify({ key: sdcKey, incarnation: run, run, systemId });
    this.ports.registered?.(sdcKey, run, systemId, approved);
    this.reportTurn.restart();
    this.ports.log.event('info', 'sdc.registered', { sdcKey, run, approved });
    this.engine.start(nowUs);
    this.takeMap(nowUs, this.session.map);
  }

  refused(_nowUs: Micros, status: number, details: readonly ErrorDetail[]): void {
    this.ports.log.event('warn', 'sdc.registration-refused', {
      reason: errorText(status, details),
      approved: status !== ERR.SDC_NOT_APPROVED,
    });
  }

  heartbeat(): ControlBodies[typeof MSG.HEARTBEAT] {
    this.progress += 1;
    // A mapping is answered when this says that it was heard of: not before its users find the volume.
    if (this.ports.front.isReady?.() !== false) this.readySequence = this.session.map.sequence;
    const range = this.reportTurn.next([...this.mapped.keys()], LIMIT.countersMax);
    const counters = [...this.mapped.values()]
      .filter(({ key }) => inRange(key, range))
      .map((volume) => ({
        ...{ key: volume.key, ...volume.counters },
        // Caches are those of devices.
        ...{ cachedReadOps: 0, cachedReadBytes: 0 },
      }));
    return {
      progress: this.progress,
      appliedSequence: this.readySequence,
      usage: null,
      listedAfter: range.after,
      listedThrough: range.through,
      counters,
      volumes: [],
    };
  }

  mapChanged(nowUs: Micros, map: ClusterMap): void {
    this.takeMap(nowUs, map);
  }

  pushed(): void {
    // The MDM pushes nothing but maps to clients.
  }

  disconnected(_nowUs: Micros, reason: string): void {
    // I/O goes on with all MDMs down.
    this.ports.log.event('warn', 'sdc.mdm-lost', { reason });
  }

  // Map.

  private learn(poolKey: number, entry: CombEntry): boolean {
    if (!this.session.learn(poolKey, entry)) return false;
    const pool = this.session.map.pools.get(poolKey);
    if (pool !== undefined)
      for (const volume of this.mapped.values())
        if (volume.volume.poolKey === poolKey) volume.pool = pool;
    this.learned = true;
    return true;
  }

  private takeMap(nowUs: Micros, map: ClusterMap): void {
    if (this.sdcKey === 0) return;
    for (const volume of [...this.mapped.values()]) this.refresh(nowUs, volume, map);
    for (const [volumeKey, bySdc] of map.mappings) {
      const mapping = bySdc.get(this.sdcKey);
      const volume = map.volumes.get(volumeKey);
      if (mapping === undefined || volume === undefined || this.mapped.has(volumeKey)) continue;
      const pool = map.pools.get(volume.poolKey);
      if (pool === undefined) continue;
      const { sectorBytes } = this.options.geometry;
      const added = new MappedVolume(volume, mapping, pool, sectorBytes);
      this.mapped.set(volumeKey, added);
      this.say('added', added);
    }
    this.engine.mapChanged(nowUs, map);
  }

  /** Brings one mapped volume up to date with the map. */
  private refresh(nowUs: Micros, known: MappedVolume, map: ClusterMap): void {
    const mapping = map.mapping(known.key, this.sdcKey);
    const volume = map.volumes.get(known.key);
    const pool = volume === undefined ? undefined : map.pools.get(volume.poolKey);
    if (mapping === undefined || volume === undefined || pool === undefined) {
      this.mapped.delete(known.key);
      this.engine.revoke(nowUs, known);
      this.news.push({ kind: 'removed', key: known.key, volume: null });
      return;
    }
    known.mapping = mapping;
    known.volume = volume;
    known.pool = pool;
    known.sizeBytes = volume.sizeSectors * this.options.geometry.sectorBytes;
    if (known.limit()) this.engine.limitsChanged(nowUs, known);
    this.say('changed', known);
  }

  /** Notes news of a volume if front ends would see a difference. */
  private say(kind: 'added' | 'changed', volume: MappedVolume): void {
    const now = volume.describe();
    const before = volume.told;
    const same =
      before !== null &&
      before.name === now.name &&
      before.sizeBytes === now.sizeBytes &&
      before.readOnly === now.readOnly &&
      before.volatileCache === now.volatileCache;
    if (same) return;
    volume.told = now;
    this.news.push({ kind, key: volume.key, volume: now });
  }
}
