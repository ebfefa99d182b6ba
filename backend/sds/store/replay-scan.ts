// Reads the log at start: follows the chain of batches from the tail, finds out which of them count, and hands over their
// headers. It owns the judgement of the tail; it must never change anything on the device.
//
// Everything up to the newest durable LSN that a batch or the superblock names did happen. Behind it a batch counts only
// when every block of its payload and of its direct writes has its checksum; the first that does not ends the log. Batches
// behind the end of the chain never count, but what they name as durable tells that the disk lost one before them.

import { addressSeed, blockChecksum, crc32 } from '../../core/checksum.js';
import * as disk from '../../protocol/generated/disk.js';
import { DISK_MAGIC, DISK_VERSION, RECORD_KIND } from '../../protocol/tables/disk.js';

import { bitCount } from './directory.js';
import { IO } from './io.js';
import type { DiskQueue } from './io.js';
import { stateBytes } from './layout.js';
import type { Layout } from './layout.js';
import { homeOffset } from './parts.js';
import type { Superblock } from './superblock.js';

/** Segments behind the end of the chain that are looked at: a lost write takes one at most. */
const LOOK_SEGMENTS = 2;

/** A batch that belongs to the chain. */
export interface Batch {
  readonly position: number;
  readonly firstLsn: number;
  readonly lastLsn: number;
  readonly chain: number;
  readonly crc: number;
  readonly payloadBlocks: number;
  readonly header: DataView;
  /** Payload blocks that fail their checksum, by place in the payload. */
  readonly badBlocks: readonly number[];
}

/** A run of directly written blocks whose content must be looked at. */
interface DirectCheck {
  readonly batch: number;
  readonly offsetBytes: number;
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  readonly firstBlock: number;
  readonly crcs: readonly number[];
}

/** Calls `each` for every record of a batch, with its offset in the header. */
export function forEachRecord(batch: Batch, each: (at: number, lsn: number) => void): void {
  const { header } = batch;
  let at = disk.LOG_HEAD_BYTES;
  for (let lsn = batch.firstLsn; lsn <= batch.lastLsn; lsn++) {
    each(at, lsn);
    at += disk.getRecordRecordBytes(header, at);
  }
}

/** Offsets of the three lists behind a record's head. */
export function listsOf(
  header: DataView,
  at: number,
): { news: number; freed: number; crcs: number } {
  const news = at + disk.RECORD_BYTES;
  const freed = news + 4 * bitCount(disk.getRecordNewMask(header, at));
  return { news, freed, crcs: freed + 4 * bitCount(disk.getRecordFreeMask(header, at)) };
}

/** Whether every record of a header lies within it and has possible values: a valid CRC is no proof of a sane writer. */
function recordsAreSane(layout: Layout, header: DataView, count: number, used: number): boolean {
  let at = disk.LOG_HEAD_BYTES;
  for (let index = 0; index < count; index++) {
    if (at + disk.RECORD_BYTES > used) return false;
    const bytes = disk.getRecordRecordBytes(header, at);
    const blocks = disk.getRecordBlockCount(header, at);
    const first = disk.getRecordFirstBlock(header, at);
    const kind = disk.getRecordKind(header, at);
    const lists =
      bitCount(disk.getRecordNewMask(header, at) ^ 0) +
      bitCount(disk.getRecordFreeMask(header, at) ^ 0);
    const crcs = kind === RECORD_KIND.write ? blocks : 0;
    const states = kind === RECORD_KIND.merge ? stateBytes(layout.geometry.chunkBlocks) : 0;
    if (bytes < disk.RECORD_BYTES + 4 * (lists + crcs) + states || at + bytes > used) return false;
    if (crcs > 0 && first + blocks > layout.geometry.chunkBlocks) return false;
    at += bytes;
  }
  return at === used;
}

export class ReplayScan {
  readonly batches: Batch[] = [];
  /** Where the next batch will be appended, and what it chains to. */
  headPosition: number;
  chain: number;
  lastLsn: number;
  durableLsn: number;
  settledLsn: number;
  /** A batch at the head was judged as never happened: it must be overwritten, for it still fits the chain. */
  tailWasCut = false;
  /** LSN and chain of the first batch of each segment that was seen, by number since ever. */
  readonly segmentStarts = new Map<number, { lsn: number; chain: number }>();
  private readonly layout: Layout;
  private readonly queue: DiskQueue;
  private readonly superblock: Superblock;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private segment: number;
  private checks: DirectCheck[] = [];
  private nextCheck = 0;
  private scanning = true;
  private looked = 0;

  constructor(
    layout: Layout,
    queue: DiskQueue,
    superblock: Superblock,
    allocate: (lengthBytes: number) => Uint8Array,
  ) {
    this.layout = layout;
    this.queue = queue;
    this.superblock = superblock;
    this.bytes = allocate(layout.segmentBlocks * layout.geometry.blockBytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    this.headPosition = superblock.tailPosition;
    this.chain = superblock.tailChain;
    this.lastLsn = superblock.tailLsn - 1;
    this.durableLsn = superblock.durableLsn;
    this.settledLsn = superblock.settledLsn;
    this.segment = Math.floor(superblock.tailPosition / layout.segmentBlocks);
  }

  begin(): void {
    this.readSegment();
  }

  private readSegment(): void {
    const { layout, segment } = this;
    const lengthBytes = layout.segmentBlocks * layout.geometry.blockBytes;
    const offset =
      layout.logAt * layout.geometry.blockBytes + (segment % layout.segments) * lengthBytes;
    this.queue.read(IO.scan, 0, 0, offset, this.bytes, 0, lengthBytes);
  }

  /** A read is done. Returns true when the scan is complete. */
  readDone(): boolean {
    if (!this.scanning) return this.checkDone();
    const more = this.looked === 0 && this.parseSegment();
    const start = this.segment * this.layout.segmentBlocks;
    this.lookBehind(Math.max(start, this.headPosition), start);
    if (more || this.mayLook(start)) {
      if (!more) this.looked++;
      this.segment++;
      this.readSegment();
      return false;
    }
    this.scanning = false;
    this.judge();
    return this.beginCheck();
  }

  /** Follows the chain through the segment in memory. Returns whether it may go on in the next one. */
  private parseSegment(): boolean {
    const { layout } = this;
    const { segmentBlocks } = layout;
    const start = this.segment * segmentBlocks;
    let position = Math.max(start, this.headPosition);
    // Only from within a segment may the chain go on in the next one although nothing more is here.
    const within = this.headPosition > start;
    let any = false;
    while (position + layout.headerBlocks <= start + segmentBlocks) {
      const batch = this.parseBatch(position, start);
      if (batch === null) break;
      if (position === start)
        this.segmentStarts.set(this.segment, { lsn: batch.firstLsn, chain: batch.chain });
      this.batches.push(batch);
      this.chain = batch.crc;
      this.lastLsn = batch.lastLsn;
      position += layout.headerBlocks + batch.payloadBlocks;
      this.headPosition = position;
      any = true;
    }
    if (!any && !within) return false;
    return this.hasNext(start);
  }

  /** Whether the segment behind this one is still of the same lap as the tail. */
  private hasNext(start: number): boolean {
    const { segmentBlocks, logBlocks } = this.layout;
    return start + 2 * segmentBlocks - this.superblock.tailPosition <= logBlocks;
  }

  private mayLook(start: number): boolean {
    return this.looked < LOOK_SEGMENTS && this.hasNext(start);
  }

  /** The valid header of a batch that was written at this very position, with its CRC field zero; or null. */
  private headerAt(
    position: number,
    segmentStart: number,
  ): { header: DataView; crc: number } | null {
    const { layout, view, superblock } = this;
    const at = (position - segmentStart) * layout.geometry.blockBytes;
    const used = disk.getLogHeadUsedBytes(view, at);
    const asExpected =
      disk.getLogHeadMagic(view, at) === DISK_MAGIC.log &&
      disk.getLogHeadVersion(view, at) === DISK_VERSION &&
      disk.getLogHeadFormatLow(view, at) === superblock.formatLow &&
      disk.getLogHeadFormatHigh(view, at) === superblock.formatHigh &&
      disk.getLogHeadPosition(view, at) === position &&
      used >= disk.LOG_HEAD_BYTES &&
      used <= layout.headerBytes;
    if (!asExpected) return null;
    const copy = this.bytes.slice(at, at + used);
    const header = new DataView(copy.buffer);
    const crc = disk.getLogHeadCrc(header, 0);
    disk.setLogHeadCrc(header, 0, 0);
    return crc32(copy) === crc ? { header, crc } : null;
  }

  /** Learns what batches in the segment in memory, from a position on, say to be durable. */
  private lookBehind(from: number, start: number): void {
    const { segmentBlocks, headerBlocks } = this.layout;
    for (let position = from; position + headerBlocks <= start + segmentBlocks; position++) {
      const found = this.headerAt(position, start);
      if (found === null) continue;
      this.durableLsn = Math.max(this.durableLsn, disk.getLogHeadDurableLsn(found.header, 0));
    }
  }

  private parseBatch(position: number, segmentStart: number): Batch | null {
    const { layout } = this;
    const found = this.headerAt(position, segmentStart);
    if (found === null) return null;
    const { header, crc } = found;
    const payloadBlocks = disk.getLogHeadPayloadBlocks(header, 0);
    const belongs =
      disk.getLogHeadChain(header, 0) === this.chain &&
      disk.getLogHeadFirstLsn(header, 0) === this.lastLsn + 1 &&
      position + layout.headerBlocks + payloadBlocks <= segmentStart + layout.segmentBlocks;
    if (!belongs) return null;
    const used = disk.getLogHeadUsedBytes(header, 0);
    const count = disk.getLogHeadRecordCount(header, 0);
    if (!recordsAreSane(layout, header, count, used)) return null;
    const firstLsn = this.lastLsn + 1;
    this.durableLsn = Math.max(this.durableLsn, disk.getLogHeadDurableLsn(header, 0));
    this.settledLsn = Math.max(this.settledLsn, disk.getLogHeadSettledLsn(header, 0));
    const batch = {
      position,
      firstLsn,
      lastLsn: firstLsn + count - 1,
      chain: this.chain,
      crc,
      payloadBlocks,
      header,
      badBlocks: [] as number[],
    };
    const at = (position - segmentStart) * layout.geometry.blockBytes;
    this.verifyPayload(batch, at + layout.headerBytes);
    return batch;
  }

  private verifyPayload(batch: Batch & { badBlocks: number[] }, payloadAt: number): void {
    const { blockBytes, unitBlocks } = this.layout.geometry;
    const { header } = batch;
    let place = 0;
    forEachRecord(batch, (at) => {
      if (disk.getRecordKind(header, at) !== RECORD_KIND.write) return;
      const first = disk.getRecordFirstBlock(header, at);
      const count = disk.getRecordBlockCount(header, at);
      const direct = disk.getRecordDirectMask(header, at);
      const vtreeKey = disk.getRecordVtreeKey(header, at);
      const chunkIndex = disk.getRecordChunkIndex(header, at);
      const { crcs } = listsOf(header, at);
      for (let index = 0; index < count; index++) {
        if ((direct & (1 << Math.floor((first + index) / unitBlocks))) !== 0) continue;
        const from = payloadAt + place * blockBytes;
        const seed = addressSeed(vtreeKey, chunkIndex, first + index);
        const crc = blockChecksum(this.bytes.subarray(from, from + blockBytes), seed);
        if (crc !== header.getUint32(crcs + 4 * index, true)) batch.badBlocks.push(place);
        place++;
      }
    });
  }

  /** Cuts off what counts as never happened by its payload, and lists the direct writes to look at. */
  private judge(): void {
    const bad = this.batches.findIndex(
      (batch) => batch.lastLsn > this.durableLsn && batch.badBlocks.length > 0,
    );
    if (bad >= 0) this.cut(bad);
    this.batches.forEach((batch, index) => {
      if (batch.lastLsn > this.durableLsn) this.listChecks(batch, index);
    });
  }

  private listChecks(batch: Batch, index: number): void {
    const { unitBlocks } = this.layout.geometry;
    const { header } = batch;
    forEachRecord(batch, (at) => {
      if (disk.getRecordKind(header, at) !== RECORD_KIND.write) return;
      const direct = disk.getRecordDirectMask(header, at);
      const newMask = disk.getRecordNewMask(header, at);
      const { news, crcs } = listsOf(header, at);
      let address = news;
      for (let rest = newMask; rest !== 0; rest &= rest - 1, address += 4) {
        const unit = 31 - Math.clz32(rest & -rest);
        if ((direct & (1 << unit)) === 0) continue;
        const firstBlock = unit * unitBlocks;
        const skip = firstBlock - disk.getRecordFirstBlock(header, at);
        const list: number[] = [];
        for (let block = 0; block < unitBlocks; block++)
          list.push(header.getUint32(crcs + 4 * (skip + block), true));
        this.checks.push({
          batch: index,
          offsetBytes: homeOffset(this.layout, header.getUint32(address, true), 0),
          vtreeKey: disk.getRecordVtreeKey(header, at),
          chunkIndex: disk.getRecordChunkIndex(header, at),
          firstBlock,
          crcs: list,
        });
      }
    });
  }

  /** Returns true when nothing is left to look at. */
  private beginCheck(): boolean {
    const check = this.checks[this.nextCheck];
    if (check === undefined || check.batch >= this.batches.length) return true;
    const lengthBytes = check.crcs.length * this.layout.geometry.blockBytes;
    this.queue.read(IO.scan, 0, 0, check.offsetBytes, this.bytes, 0, lengthBytes);
    return false;
  }

  private checkDone(): boolean {
    const check = this.checks[this.nextCheck++];
    if (check === undefined) return true;
    const { blockBytes } = this.layout.geometry;
    const fits = check.crcs.every((crc, index) => {
      const seed = addressSeed(check.vtreeKey, check.chunkIndex, check.firstBlock + index);
      const from = index * blockBytes;
      return blockChecksum(this.bytes.subarray(from, from + blockBytes), seed) === crc;
    });
    if (!fits) {
      this.cut(check.batch);
      return true;
    }
    return this.beginCheck();
  }

  /** Batches from `index` on never happened. */
  private cut(index: number): void {
    const batch = this.batches[index];
    if (batch === undefined) return;
    this.tailWasCut = true;
    this.batches.length = index;
    this.headPosition = batch.position;
    this.chain = batch.chain;
    this.lastLsn = batch.firstLsn - 1;
  }
}
