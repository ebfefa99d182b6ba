// A simulated user of the volumes of one client: keeps some requests going, records what it asked and what it was told.
// It owns its buffers and requests; it must never judge an answer beyond whether its content can be read.

import type { BlockBack, BlockFront, BlockVolume, IoKind } from '../sdc/block-front.js';
import { BLOCK_STATE, ERRNO, IO } from '../sdc/block-front.js';
import type { Prng } from '../core/prng.js';

import type { EventTarget } from './event-queue.js';
import type { History, OpKind, OpRecord } from './history.js';
import { readTags, writeTags } from './history.js';
import type { SimProcess } from './process.js';
import type { Simulation } from './simulation.js';
import { TRACE } from './trace.js';

export interface WorkloadOptions {
  readonly depth: number;
  readonly thinkUsMax: number;
  readonly lengthSectorsMax: number;
  /** Requests fall into this many sectors from a place that moves now and then, so that they overlap. */
  readonly hotSectors: number;
  readonly readWeight: number;
  readonly writeWeight: number;
  readonly zeroWeight: number;
  readonly flushWeight: number;
  readonly fuaPercent: number;
  /** Questions which blocks hold data. */
  readonly describeWeight: number;
  /** Of a thousand requests, before how many whoever asked the running ones is gone. */
  readonly abandonPermille: number;
  /** Of a hundred requests, how many begin and end at block boundaries. */
  readonly alignedPercent: number;
  /** So many clients only read: a write that cannot end holds up whoever waits for it. */
  readonly readers: number;
  /** Clients have their hot sectors in the same places at the same time. */
  readonly together: boolean;
}

const SECTOR_BYTES = 8;
const SECTORS_PER_BLOCK = 8;
/** How long clients that are hot together stay in one place, and what spreads these places. */
const TOGETHER_US = 400_000;
const SPREAD = 0x9e3779b1;
/** Requests that only the last reads use: others may wait for room for as long as it takes. */
const SPARE = 2;
/** After so many requests a client takes its time: a scenario ends by what it tries, not by how many events that takes. */
const BUSY_REQUESTS = 10_000;
const TIRED_US = 100_000;

interface Slot {
  readonly token: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  record: OpRecord | null;
  /** Nobody awaits the answer. */
  abandoned: boolean;
}

export class Workload implements BlockFront, EventTarget {
  private readonly sim: Simulation;
  private readonly process: SimProcess;
  private readonly client: number;
  private readonly life: number;
  private readonly history: History;
  private readonly options: WorkloadOptions;
  private readonly prng: Prng;
  private back: BlockBack | null = null;
  private readonly volumes: BlockVolume[] = [];
  private readonly slots: Slot[];
  private hotSector = 0;
  private stopped = false;
  private reading = false;
  private readonly toRead: { key: number; first: number; sectors: number }[] = [];
  /** The machine refused a request for want of room. */
  refusedForRoom = false;
  completed = 0;
  /** Errors that were reported, by number. */
  readonly errors = new Map<number, number>();

  constructor(
    sim: Simulation,
    process: SimProcess,
    client: number,
    life: number,
    history: History,
    options: WorkloadOptions,
  ) {
    this.sim = sim;
    this.process = process;
    this.client = client;
    this.life = life;
    this.history = history;
    this.options = options;
    this.prng = sim.prng.fork();
    this.slots = Array.from({ length: options.depth + SPARE }, (_, token) => {
      const bytes = new Uint8Array(options.lengthSectorsMax * SECTOR_BYTES);
      return { token, bytes, view: new DataView(bytes.buffer), record: null, abandoned: false };
    });
  }

  attach(back: BlockBack): void {
    this.back = back;
  }

  /** Requests that were not answered. */
  get open(): number {
    return this.slots.filter((slot) => slot.record !== null).length + this.toRead.length;
  }

  /** Whether everything that `readAll` asked is answered. */
  get hasRead(): boolean {
    const reads = this.slots.some(({ record }) => record?.kind === 'read');
    return this.toRead.length === 0 && !reads;
  }

  /** Reads every volume from end to end with the requests that are free. */
  readAll(): void {
    this.toRead.length = 0;
    const { lengthSectorsMax } = this.options;
    for (const { key, sizeBytes } of this.volumes)
      for (let first = 0; first < sizeBytes / SECTOR_BYTES; first += lengthSectorsMax)
        this.toRead.push({
          key,
          first,
          sectors: Math.min(lengthSectorsMax, sizeBytes / SECTOR_BYTES - first),
        });
    this.reading = true;
    for (const slot of this.slots) this.think(slot.token);
  }

  has(volumeKey: number): boolean {
    return this.volumes.some(({ key }) => key === volumeKey);
  }

  /** No new requests; those that run go on. */
  stop(): void {
    this.stopped = true;
  }

  volumeAdded(_nowUs: number, volume: BlockVolume): void {
    const first = this.volumes.length === 0;
    this.volumes.push(volume);
    if (!first) return;
    for (const slot of this.slots)
      if (slot.record === null && !this.isSpare(slot)) this.think(slot.token);
  }

  private isSpare({ token }: Slot): boolean {
    return token >= this.options.depth;
  }

  volumeChanged(_nowUs: number, volume: BlockVolume): void {
    const place = this.volumes.findIndex(({ key }) => key === volume.key);
    if (place < 0) this.sim.fail(`client ${this.client} heard of a change of an unknown volume`);
    this.volumes[place] = volume;
  }

  volumeRemoved(_nowUs: number, volumeKey: number): void {
    const place = this.volumes.findIndex(({ key }) => key === volumeKey);
    if (place < 0) this.sim.fail(`client ${this.client} lost a volume that it did not have`);
    if (this.slots.some(({ record }) => record?.volumeKey === volumeKey))
      this.sim.fail(`volume ${volumeKey} was removed before its requests were answered`);
    this.volumes.splice(place, 1);
  }

  roomAgain(): void {
    if (!this.refusedForRoom) this.sim.fail('room again, although nothing was refused');
    this.refusedForRoom = false;
    for (const slot of this.slots)
      if (slot.record === null && (this.reading || !this.isSpare(slot))) this.think(slot.token);
  }

  ioDone(_nowUs: number, token: number, errno: number): void {
    const slot = this.slots[token];
    const record = slot?.record ?? null;
    if (slot === undefined || record === null)
      this.sim.fail(`client ${this.client} got an answer to nothing`);
    slot.record = null;
    this.sim.trace.mix(TRACE.ioDone, this.sim.nowUs, this.process.node, token * 256 + errno);
    if (this.sim.trace.verbose) this.tell(record, errno);
    if (errno === ERRNO.ok) {
      this.completed += 1;
      if (record.kind === 'read') this.takeContent(slot, record);
      else if (record.kind === 'describe') this.takeStates(slot, record);
      this.history.answered(record, this.sim.nowUs);
    } else if (!slot.abandoned) {
      this.errors.set(errno, (this.errors.get(errno) ?? 0) + 1);
      record.isShutDown = errno === ERRNO.ESHUTDOWN;
    }
    this.think(slot.token);
  }

  private tell(record: OpRecord, errno: number): void {
    const { kind, index, volume, firstSector, sectors, tag } = record;
    const result = errno === ERRNO.ok ? 'ok' : `errno ${errno}`;
    this.sim.trace.line(
      this.sim.nowUs,
      this.process.name,
      `#${index} ${kind} volume ${volume} ${firstSector}+${sectors} tag ${tag}: ${result}`,
    );
  }

  private takeContent(slot: Slot, record: OpRecord): void {
    const seen = readTags(slot.view, 0, record);
    if (seen === null)
      this.sim.fail(`read ${record.index} returned content that was never written there`);
    record.seen = seen;
    if (this.sim.trace.verbose)
      this.sim.trace.line(
        this.sim.nowUs,
        this.process.name,
        `#${record.index} saw ${seen.join(' ')}`,
      );
  }

  /** Blocks that hold nothing read as zero (C11). */
  private takeStates(slot: Slot, record: OpRecord): void {
    const { firstSector, sectors } = record;
    for (let block = 0; block < sectors / SECTORS_PER_BLOCK; block++) {
      if (slot.bytes[block] === BLOCK_STATE.data) continue;
      const first = firstSector + block * SECTORS_PER_BLOCK;
      this.history.sawNothing(record, first, SECTORS_PER_BLOCK, this.sim.nowUs);
    }
  }

  private think(token: number): void {
    const { thinkUsMax } = this.options;
    const restUs = this.completed < BUSY_REQUESTS || this.reading ? 0 : TIRED_US;
    const inUs = restUs + (thinkUsMax === 0 ? 1 : this.prng.below(thinkUsMax) + 1);
    this.sim.queue.push(this.sim.nowUs + inUs, this, 0, token);
  }

  fire(_timeUs: number, _what: number, token: number): void {
    if ((this.stopped && !this.reading) || !this.process.alive) return;
    const slot = this.slots[token];
    if (slot?.record !== null) return;
    this.process.input((nowUs) => {
      this.start(nowUs, slot);
    });
  }

  private start(nowUs: number, slot: Slot): void {
    if (slot.record !== null) return;
    if (this.reading) {
      const next = this.toRead.shift();
      if (next !== undefined)
        this.submit(nowUs, slot, next.key, IO.read, next.first, next.sectors, false);
      return;
    }
    const { abandonPermille } = this.options;
    if (abandonPermille > 0 && this.prng.chance(abandonPermille, 1000)) this.abandonAll(nowUs);
    const volume = this.volumes[this.prng.below(Math.max(1, this.volumes.length))];
    if (volume === undefined || this.stopped) return;
    const kind = this.pickKind();
    const [first, sectors] =
      kind === IO.flush ? [0, 0] : this.pickRange(volume, kind === IO.describe);
    const isChange = kind !== IO.read && kind !== IO.flush && kind !== IO.describe;
    const fua = isChange && this.prng.chance(this.options.fuaPercent, 100);
    this.submit(nowUs, slot, volume.key, kind, first, sectors, fua);
  }

  /** Whoever asked what runs now is gone. */
  private abandonAll(nowUs: number): void {
    for (const slot of this.slots) slot.abandoned = slot.record !== null;
    this.back?.abandon(nowUs, (token) => this.slots[token]?.abandoned === true);
  }

  private submit(
    nowUs: number,
    slot: Slot,
    volumeKey: number,
    kind: IoKind,
    first: number,
    sectors: number,
    fua: boolean,
  ): void {
    const { sim, history, client, life, process } = this;
    if (this.back === null) return;
    const word = wordOf(kind);
    const record = history.begin(word, volumeKey, client, life, fua, first, sectors, sim.nowUs);
    if (kind === IO.write) writeTags(slot.view, 0, record);
    slot.record = record;
    slot.abandoned = false;
    sim.trace.mix(TRACE.submit, sim.nowUs, process.node, record.index);
    if (sim.trace.verbose)
      sim.trace.line(
        sim.nowUs,
        process.name,
        `#${record.index} ${word} volume ${volumeKey} ${first}+${sectors} tag ${record.tag}${fua ? ' FUA' : ''}`,
      );
    const taken = this.back.submit(
      nowUs,
      volumeKey,
      kind,
      first * SECTOR_BYTES,
      sectors * SECTOR_BYTES,
      fua,
      slot.bytes,
      0,
      slot.token,
    );
    if (taken) return;
    // Nothing was started: the record stays as one that never happened.
    slot.record = null;
    this.refusedForRoom = true;
    if (kind === IO.read && this.reading) this.toRead.unshift({ key: volumeKey, first, sectors });
  }

  private pickKind(): IoKind {
    if (this.client <= this.options.readers) return IO.read;
    const { readWeight, writeWeight, zeroWeight, flushWeight, describeWeight } = this.options;
    let draw = this.prng.below(
      readWeight + writeWeight + zeroWeight + flushWeight + describeWeight,
    );
    if (draw < readWeight) return IO.read;
    draw -= readWeight;
    if (draw < writeWeight) return IO.write;
    draw -= writeWeight;
    if (draw < zeroWeight) return draw % 2 === 0 ? IO.zero : IO.discard;
    return draw - zeroWeight < flushWeight ? IO.flush : IO.describe;
  }

  private pickRange(volume: BlockVolume, wholeBlocks: boolean): [number, number] {
    const total = volume.sizeBytes / SECTOR_BYTES;
    const { hotSectors, lengthSectorsMax, alignedPercent, together } = this.options;
    if (together) {
      const turn = Math.floor(this.sim.nowUs / TOGETHER_US) + 1;
      this.hotSector = (Math.imul(turn, SPREAD) >>> 0) % total;
    } else if (this.prng.chance(1, 32)) this.hotSector = this.prng.below(total);
    let first = (this.hotSector + this.prng.below(hotSectors)) % total;
    let sectors =
      1 +
      this.prng.below(this.prng.chance(1, 4) ? lengthSectorsMax : Math.min(16, lengthSectorsMax));
    if (this.prng.chance(alignedPercent, 100) || wholeBlocks) {
      first -= first % SECTORS_PER_BLOCK;
      sectors = Math.min(
        lengthSectorsMax - (lengthSectorsMax % SECTORS_PER_BLOCK),
        Math.ceil(sectors / SECTORS_PER_BLOCK) * SECTORS_PER_BLOCK,
      );
    }
    return [first, Math.min(sectors, total - first)];
  }
}

function wordOf(kind: IoKind): OpKind {
  if (kind === IO.read) return 'read';
  if (kind === IO.write) return 'write';
  if (kind === IO.describe) return 'describe';
  return kind === IO.flush ? 'flush' : 'zero';
}
