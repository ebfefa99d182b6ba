// A simulated user of the volumes of one client: keeps some requests going, records what it asked and what it was told.
// It owns its buffers and requests; it must never judge an answer beyond whether its content can be read.

import type { BlockBack, BlockFront, BlockVolume, IoKind } from '../sdc/block-front.js';
import { ERRNO, IO } from '../sdc/block-front.js';
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
  /** Of a hundred requests, how many begin and end at block boundaries. */
  readonly alignedPercent: number;
}

const SECTOR_BYTES = 8;
const SECTORS_PER_BLOCK = 8;

interface Slot {
  readonly token: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  record: OpRecord | null;
}

export class Workload implements BlockFront, EventTarget {
  private readonly sim: Simulation;
  private readonly process: SimProcess;
  private readonly client: number;
  private readonly history: History;
  private readonly options: WorkloadOptions;
  private readonly prng: Prng;
  private back: BlockBack | null = null;
  private readonly volumes: BlockVolume[] = [];
  private readonly slots: Slot[];
  private hotSector = 0;
  private stopped = false;
  /** The machine refused a request for want of room. */
  refusedForRoom = false;
  completed = 0;
  /** Errors that were reported, by number. */
  readonly errors = new Map<number, number>();

  constructor(
    sim: Simulation,
    process: SimProcess,
    client: number,
    history: History,
    options: WorkloadOptions,
  ) {
    this.sim = sim;
    this.process = process;
    this.client = client;
    this.history = history;
    this.options = options;
    this.prng = sim.prng.fork();
    this.slots = Array.from({ length: options.depth }, (_, token) => {
      const bytes = new Uint8Array(options.lengthSectorsMax * SECTOR_BYTES);
      return { token, bytes, view: new DataView(bytes.buffer), record: null };
    });
  }

  attach(back: BlockBack): void {
    this.back = back;
  }

  /** Requests that were not answered. */
  get open(): number {
    return this.slots.filter((slot) => slot.record !== null).length;
  }

  /** No new requests; those that run go on. */
  stop(): void {
    this.stopped = true;
  }

  volumeAdded(_nowUs: number, volume: BlockVolume): void {
    const first = this.volumes.length === 0;
    this.volumes.push(volume);
    if (first) for (const slot of this.slots) if (slot.record === null) this.think(slot.token);
  }

  volumeChanged(_nowUs: number, volume: BlockVolume): void {
    const place = this.volumes.findIndex(({ key }) => key === volume.key);
    if (place < 0) this.sim.fail(`client ${this.client} heard of a change of an unknown volume`);
    this.volumes[place] = volume;
  }

  volumeRemoved(_nowUs: number, volumeKey: number): void {
    const place = this.volumes.findIndex(({ key }) => key === volumeKey);
    if (place < 0) this.sim.fail(`client ${this.client} lost a volume that it did not have`);
    if (this.slots.some(({ record }) => record?.volume === volumeKey))
      this.sim.fail(`volume ${volumeKey} was removed before its requests were answered`);
    this.volumes.splice(place, 1);
  }

  roomAgain(): void {
    if (!this.refusedForRoom) this.sim.fail('room again, although nothing was refused');
    this.refusedForRoom = false;
    for (const slot of this.slots) if (slot.record === null) this.think(slot.token);
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
      record.endUs = this.sim.nowUs;
    } else this.errors.set(errno, (this.errors.get(errno) ?? 0) + 1);
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

  private think(token: number): void {
    const inUs = this.options.thinkUsMax === 0 ? 1 : this.prng.below(this.options.thinkUsMax) + 1;
    this.sim.queue.push(this.sim.nowUs + inUs, this, 0, token);
  }

  fire(_timeUs: number, _what: number, token: number): void {
    if (this.stopped || !this.process.alive) return;
    const slot = this.slots[token];
    if (slot?.record !== null) return;
    this.process.input((nowUs) => {
      this.start(nowUs, slot);
    });
  }

  private start(nowUs: number, slot: Slot): void {
    const volume = this.volumes[this.prng.below(Math.max(1, this.volumes.length))];
    if (this.back === null || volume === undefined || this.stopped || slot.record !== null) return;
    const kind = this.pickKind();
    const [firstSector, sectors] = kind === IO.flush ? [0, 0] : this.pickRange(volume);
    const fua =
      kind !== IO.read && kind !== IO.flush && this.prng.chance(this.options.fuaPercent, 100);
    const record = this.history.begin(
      wordOf(kind),
      volume.key,
      this.client,
      fua,
      firstSector,
      sectors,
      this.sim.nowUs,
    );
    if (kind === IO.write) writeTags(slot.view, 0, record);
    slot.record = record;
    this.sim.trace.mix(TRACE.submit, this.sim.nowUs, this.process.node, record.index);
    if (this.sim.trace.verbose)
      this.sim.trace.line(
        this.sim.nowUs,
        this.process.name,
        `#${record.index} ${record.kind} volume ${volume.key} ${firstSector}+${sectors} tag ${record.tag}${fua ? ' FUA' : ''}`,
      );
    const taken = this.back.submit(
      nowUs,
      volume.key,
      kind,
      firstSector * SECTOR_BYTES,
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
  }

  private pickKind(): IoKind {
    const { readWeight, writeWeight, zeroWeight, flushWeight } = this.options;
    let draw = this.prng.below(readWeight + writeWeight + zeroWeight + flushWeight);
    if (draw < readWeight) return IO.read;
    draw -= readWeight;
    if (draw < writeWeight) return IO.write;
    draw -= writeWeight;
    if (draw < zeroWeight) return draw % 2 === 0 ? IO.zero : IO.discard;
    return IO.flush;
  }

  private pickRange(volume: BlockVolume): [number, number] {
    const total = volume.sizeBytes / SECTOR_BYTES;
    const { hotSectors, lengthSectorsMax, alignedPercent } = this.options;
    if (this.prng.chance(1, 32)) this.hotSector = this.prng.below(total);
    let first = (this.hotSector + this.prng.below(hotSectors)) % total;
    let sectors =
      1 +
      this.prng.below(this.prng.chance(1, 4) ? lengthSectorsMax : Math.min(16, lengthSectorsMax));
    if (this.prng.chance(alignedPercent, 100)) {
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
  return kind === IO.flush ? 'flush' : 'zero';
}
