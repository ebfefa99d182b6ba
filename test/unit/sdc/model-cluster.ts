// A cluster without replication for tests of the client machine alone: one MDM that says what the test wants, data
// processes that share one memory and refuse what the test wants. It moves real frames over the simulated network.

import { REBALANCE_POLICY, REBUILD_POLICY } from '../../../backend/cluster-map/copy-policy.js';
import { addressSeed, crc32Range } from '../../../backend/core/checksum.js';
import type { LinkId, Links, Log, Machine, Peer } from '../../../backend/core/ports.js';
import { combOf } from '../../../backend/cluster-map/comb.js';
import { bodyOf, decodeBody, encodeControl, encodeStruct } from '../../support/newest.js';
import { HEADER_BYTES, sealFrame } from '../../../backend/protocol/frames.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import type {
  CombEntry,
  Durability,
  FullPolicy,
  MapVolume,
  Mapping,
} from '../../../backend/protocol/generated/types.js';
import { Sdc } from '../../../backend/sdc/sdc.js';
import type { ClientOptions } from '../../../backend/sdc/options.js';
import { checkHistory } from '../../../backend/sim/check-linearizable.js';
import { History } from '../../../backend/sim/history.js';
import { SimHost } from '../../../backend/sim/host.js';
import { SimNetwork } from '../../../backend/sim/network.js';
import { SimProcess } from '../../../backend/sim/process.js';
import { makeSimulationMemory, Simulation } from '../../../backend/sim/simulation.js';
import type { BlockFront } from '../../../backend/sdc/block-front.js';
import { BLOCK_STATE } from '../../../backend/sdc/block-front.js';

export const POOL = 7;
const LOG2 = 2;
const SECTOR = 8;
const BLOCK = 64;
const CHUNK_BLOCKS = 8;
const EVENTS_MAX = 500_000;

/** Answers nothing is wrong with; the test may change what it says. */
class ModelMdm implements Machine {
  private readonly links: Links;
  private readonly cluster: ModelCluster;
  private readonly clients = new Map<LinkId, number>();
  sequence = 1;

  constructor(links: Links, cluster: ModelCluster) {
    this.links = links;
    this.cluster = cluster;
  }

  linkUp(): void {
    // Registration follows.
  }

  linkDown(_nowUs: number, link: LinkId): void {
    this.clients.delete(link);
  }

  frame(_nowUs: number, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    const tag = head.getTag(view, at);
    if (head.getCode(view, at) === MSG.REGISTER_SDC) {
      const { guid } = decodeBody(MSG.REGISTER_SDC, bodyOf(bytes, view, at));
      const number = Number(guid.slice(-2));
      this.send(
        link,
        encodeControl(MSG.REGISTER_SDC_REPLY, tag, 0, {
          sdcKey: number,
          run: number + 50,
          approved: true,
          systemId: '00000001000000ff',
        }),
      );
      this.clients.set(link, number);
      this.push(link, true);
    } else if (head.getCode(view, at) === MSG.HEARTBEAT)
      this.send(link, encodeControl(MSG.HEARTBEAT_REPLY, tag, 0, { term: 1 }));
    return true;
  }

  /** Tells all clients of the present map. */
  pushAll(removedMappings: readonly Mapping[] = []): void {
    this.sequence += 1;
    for (const link of this.clients.keys()) this.push(link, false, removedMappings);
  }

  private push(link: LinkId, full: boolean, removedMappings: readonly Mapping[] = []): void {
    const { cluster } = this;
    this.send(
      link,
      encodeControl(MSG.MAP_UPDATE, 0, 0, {
        term: 1,
        clusterVersion: 2,
        ...{ merges: [], removedMerges: [], goneVolumes: [], removedLayers: [] },
        sequence: this.sequence,
        full,
        last: true,
        pools: [
          {
            key: POOL,
            combCountLog2: LOG2,
            durability: cluster.durability,
            fullPolicy: cluster.fullPolicy,
            active: true,
            ...{ rebuildEnabled: true, rebuild: REBUILD_POLICY, rebalance: REBALANCE_POLICY },
            ...{ rmcache: false, cacheWrites: 'passthrough' as const },
            scanner: null,
          },
        ],
        combs: [{ poolKey: POOL, combs: cluster.entries }],
        devices: cluster.data.map((data) => ({
          key: data.key,
          sdsKey: data.key + 10,
          poolKey: POOL,
          incarnation: 1,
          up: true,
          addresses: [{ host: data.address, role: 'all' as const }],
          port: 7073,
        })),
        volumes: [...cluster.volumes.values()],
        mappings: cluster.mappings,
        removedDevices: [],
        removedVolumes: [],
        removedMappings: [...removedMappings],
      }),
    );
  }

  private send(link: LinkId, frame: Uint8Array): void {
    const room = this.links.reserve(link, frame.length);
    room.bytes.set(frame, room.at);
  }

  tick(): void {
    // Nothing is timed.
  }

  nextDeadlineUs(): number {
    return Infinity;
  }
}

/** What a test makes of a request: serve it, keep silent, or refuse it with a status. */
export type Rule = (code: number, view: DataView, at: number) => 'serve' | 'silent' | number;

/** What is all zero was never written here. */
function describe(memory: Uint8Array, start: number, length: number): Uint8Array {
  const first = Math.floor(start / BLOCK);
  const blocks = Math.ceil((start + length) / BLOCK) - first;
  const body = new Uint8Array(Math.ceil(blocks / 4));
  for (let index = 0; index < blocks; index++) {
    const block = memory.subarray((first + index) * BLOCK, (first + index + 1) * BLOCK);
    const state = block.some((byte) => byte !== 0) ? BLOCK_STATE.data : BLOCK_STATE.absent;
    body[index >>> 2] = (body[index >>> 2] ?? 0) | (state << (2 * (index & 3)));
  }
  return body;
}

export class ModelData implements Machine {
  readonly key: number;
  readonly address: string;
  rule: Rule = () => 'serve';
  /** Flushes that were done: the combs of each. */
  readonly flushed: number[][] = [];
  /** Op ids of changes in the order applied. */
  readonly applied: string[] = [];
  readonly links: Links;
  private readonly cluster: ModelCluster;
  /** Whoever opened a link, in order. */
  readonly peers: Peer[] = [];
  private readonly runs = new Map<LinkId, number>();
  settledBelow = 0;

  constructor(key: number, address: string, links: Links, cluster: ModelCluster) {
    this.key = key;
    this.address = address;
    this.links = links;
    this.cluster = cluster;
  }

  linkUp(_nowUs: number, link: LinkId, peer: Peer): void {
    this.peers.push(peer);
    this.runs.set(link, peer.run);
  }

  linkDown(): void {
    // Nothing is kept per link.
  }

  frame(_nowUs: number, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    const code = head.getCode(view, at);
    if (code === MSG.OPS_SETTLED) {
      this.settledBelow = head.getOpLow(view, at);
      return true;
    }
    const verdict = this.rule(code, view, at);
    if (verdict === 'silent') return true;
    const entry = this.cluster.entries[head.getComb(view, at)];
    if (entry === undefined) throw new Error('the comb exists');
    if (verdict !== 'serve') this.answer(link, view, at, verdict, new Uint8Array(0));
    else if (entry.members[entry.primary]?.deviceKey !== this.key)
      this.answer(link, view, at, ERR.NOT_PRIMARY, encodeStruct('CombEntry', entry));
    else if (entry.generation.number !== head.getGenerationNumber(view, at))
      this.answer(link, view, at, ERR.STALE_GENERATION, encodeStruct('CombEntry', entry));
    else this.serve(link, code, bytes, view, at);
    return true;
  }

  private serve(link: LinkId, code: number, bytes: Uint8Array, view: DataView, at: number): void {
    const memory = this.cluster.memoryOf(head.getVolumeKey(view, at));
    const start =
      head.getChunkIndex(view, at) * CHUNK_BLOCKS * BLOCK +
      head.getOffsetSectors(view, at) * SECTOR;
    const length = head.getLengthSectors(view, at) * SECTOR;
    if (code === MSG.DESCRIBE) {
      this.answer(link, view, at, 0, describe(memory, start, length));
      return;
    }
    if (code === MSG.READ) {
      this.answer(link, view, at, 0, this.content(view, at, memory, start, length));
      return;
    }
    if (code === MSG.FLUSH) {
      const combs: number[] = [];
      for (let place = 0; place < head.getBodyBytes(view, at); place += 4)
        combs.push(view.getUint32(at + HEADER_BYTES + place, true));
      this.flushed.push(combs);
      this.answer(link, view, at, 0, new Uint8Array(0));
      return;
    }
    const id = `${this.runs.get(link) ?? 0}:${head.getOpHigh(view, at)}:${head.getOpLow(view, at)}`;
    if (!this.cluster.known.has(id)) {
      this.cluster.known.add(id);
      this.applied.push(id);
      if (code === MSG.ZERO) memory.fill(0, start, start + length);
      else {
        const dataAt = at + HEADER_BYTES + head.getBodyBytes(view, at) - length;
        memory.set(bytes.subarray(dataAt, dataAt + length), start);
      }
    }
    this.answer(link, view, at, 0, new Uint8Array(0));
  }

  /** CRCs and whole blocks. */
  private content(
    view: DataView,
    at: number,
    memory: Uint8Array,
    start: number,
    length: number,
  ): Uint8Array {
    const first = Math.floor(start / BLOCK);
    const blocks = Math.floor((start + length - 1) / BLOCK) - first + 1;
    const body = new Uint8Array(blocks * (4 + BLOCK));
    const bodyView = new DataView(body.buffer);
    const volume = this.cluster.volumes.get(head.getVolumeKey(view, at));
    for (let index = 0; index < blocks; index++) {
      const place = 4 * blocks + index * BLOCK;
      body.set(memory.subarray((first + index) * BLOCK, (first + index + 1) * BLOCK), place);
      const seed = addressSeed(
        volume?.vtreeKey ?? 0,
        Math.floor((first + index) / CHUNK_BLOCKS),
        (first + index) % CHUNK_BLOCKS,
      );
      bodyView.setUint32(4 * index, crc32Range(body, bodyView, place, BLOCK, seed), true);
    }
    return body;
  }

  answer(link: LinkId, view: DataView, at: number, status: number, body: Uint8Array): void {
    const room = this.links.reserve(link, HEADER_BYTES + body.length);
    for (let place = 0; place < HEADER_BYTES; place++)
      room.bytes[room.at + place] = view.getUint8(at + place);
    const code = head.getCode(view, at);
    const answers: Record<number, number> = {
      [MSG.READ]: MSG.READ_REPLY,
      [MSG.DESCRIBE]: MSG.DESCRIBE_REPLY,
      [MSG.WRITE]: MSG.WRITE_REPLY,
      [MSG.ZERO]: MSG.WRITE_REPLY,
      [MSG.FLUSH]: MSG.FLUSH_REPLY,
    };
    head.setCode(room.view, room.at, answers[code] ?? 0);
    head.setStatus(room.view, room.at, status);
    head.setBodyBytes(room.view, room.at, body.length);
    room.bytes.set(body, room.at + HEADER_BYTES);
    sealFrame(room.bytes, room.view, room.at);
  }

  tick(): void {
    // Nothing is timed.
  }

  nextDeadlineUs(): number {
    return Infinity;
  }
}

export interface LoggedEvent {
  readonly level: string;
  readonly name: string;
}

export class ModelCluster {
  readonly sim: Simulation;
  readonly network: SimNetwork;
  readonly history = new History();
  readonly volumes = new Map<number, MapVolume>();
  readonly known = new Set<string>();
  readonly data: ModelData[] = [];
  readonly processes: SimProcess[] = [];
  readonly logged: LoggedEvent[] = [];
  readonly mdm: ModelMdm;
  entries: CombEntry[];
  mappings: Mapping[] = [];
  durability: Durability = 'media';
  fullPolicy: FullPolicy = 'wait';
  private readonly memories = new Map<number, Uint8Array>();

  /** @param features - feature bits that all programs name; those of this version when left out */
  constructor(seed: number, features?: number) {
    this.sim = new Simulation(seed, makeSimulationMemory(), null);
    this.network = new SimNetwork(this.sim, {
      delayUsMin: 50,
      delayUsMax: 150,
      lingerPercent: 0,
      lingerUsMax: 1,
      ...(features === undefined ? {} : { features }),
    });
    const process = this.process(0, 'mdm', 'mdm', 1, 6611);
    this.mdm = new ModelMdm(this.network.linksOf(process), this);
    process.attach(this.mdm);
    for (const key of [1, 2]) {
      const host = this.process(key, `data${key}`, 'sdsData', key, 7073);
      const machine = new ModelData(key, host.host.address, this.network.linksOf(host), this);
      this.data.push(machine);
      host.attach(machine);
    }
    this.entries = Array.from({ length: 1 << LOG2 }, (_, index) => ({
      index,
      generation: { epoch: 1, number: 1 },
      members: [
        { deviceKey: 1, incarnation: 1 },
        { deviceKey: 2, incarnation: 1 },
      ],
      primary: index % 2,
      inSyncMask: 3,
      targetMask: 0,
      blankMask: 0,
    }));
  }

  private process(
    index: number,
    name: string,
    role: 'mdm' | 'sdsData' | 'sdc',
    key: number,
    port: number,
  ): SimProcess {
    const host = new SimHost(index, `10.0.0.${index + 1}`, 0, index * 1000);
    this.network.addHost(host);
    const identity = { role, key, incarnation: 1, run: 0 };
    const process = new SimProcess(this.sim, host, name, index, identity, port);
    this.processes.push(process);
    return process;
  }

  addVolume(key: number, sizeSectors: number, sdcKeys: readonly number[]): void {
    this.volumes.set(key, {
      key,
      poolKey: POOL,
      vtreeKey: key,
      epoch: 1,
      sizeSectors,
      thin: true,
      name: `volume${key}`,
      ...{ layers: [], cut: 0, active: true, rmcache: true, fullPolicy: 'pool' },
    });
    for (const sdcKey of sdcKeys)
      this.mappings.push({
        volumeKey: key,
        sdcKey,
        generation: 1,
        access: 'readWrite',
        ...{ iopsLimit: 0, bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 },
      });
  }

  memoryOf(volumeKey: number): Uint8Array {
    let memory = this.memories.get(volumeKey);
    if (memory === undefined) {
      memory = new Uint8Array((this.volumes.get(volumeKey)?.sizeSectors ?? 0) * SECTOR);
      this.memories.set(volumeKey, memory);
    }
    return memory;
  }

  /** Comb of a chunk of a volume. */
  combOf(volumeKey: number, chunkIndex: number): number {
    return combOf(volumeKey, chunkIndex, LOG2);
  }

  /** Data process that is the primary of a comb. */
  primaryOf(comb: number): ModelData {
    const entry = this.entries[comb];
    const key = entry?.members[entry.primary]?.deviceKey;
    const found = this.data.find((data) => data.key === key);
    if (found === undefined) throw new Error('the comb has a primary');
    return found;
  }

  /** Makes the other member the primary of every comb, in a new generation. */
  switchPrimaries(): void {
    this.entries = this.entries.map((entry) => ({
      ...entry,
      primary: 1 - entry.primary,
      generation: { epoch: 1, number: entry.generation.number + 1 },
    }));
  }

  /** A client with a front end made by the test; number from 1. */
  addClient(
    number: number,
    front: (process: SimProcess) => BlockFront,
    more: Partial<ClientOptions> = {},
  ): Sdc {
    const process = this.process(this.network.hosts.length, `sdc${number}`, 'sdc', 0, 0);
    const log: Log = {
      event: (level, name) => {
        this.logged.push({ level, name });
      },
    };
    const sdc = new Sdc(
      { links: this.network.linksOf(process), log, front: front(process) },
      {
        guid: `00000000-0000-0000-0000-0000000000${String(number).padStart(2, '0')}`,
        name: `host${number}`,
        addresses: [],
        version: 'test',
        zeroGuid: false,
      },
      {
        mdm: {
          addresses: [{ host: '10.0.0.1', port: 6611 }],
          heartbeatMs: 250,
          requestTimeoutMs: 30_000,
          retryMsMin: 50,
          retryMsMax: 1000,
          seed: number,
        },
        geometry: { sectorBytes: SECTOR, blockBytes: BLOCK, chunkBlocks: CHUNK_BLOCKS },
        ioBytesMax: 4 * BLOCK,
        linksPerDevice: 1,
        inFlightPerLinkMax: 64,
        opsMax: 64,
        requestsMax: 32,
        ioTimeoutUs: Infinity,
        ...more,
      },
    );
    process.attach(sdc);
    process.input((nowUs) => {
      sdc.start(nowUs);
    });
    return sdc;
  }

  /** Lets virtual time pass. */
  run(forUs: number): void {
    this.sim.run(this.sim.nowUs + forUs, () => false, EVENTS_MAX);
  }

  /** Lets virtual time pass until something is true; fails after `withinUs`. */
  until(what: () => boolean, withinUs = 60_000_000): void {
    if (!this.sim.run(this.sim.nowUs + withinUs, what, EVENTS_MAX))
      throw new Error('what was waited for did not come');
  }

  check(isVolatile = false): string | null {
    return checkHistory(this.history, { sectorsPerBlock: BLOCK / SECTOR, isVolatile });
  }
}
