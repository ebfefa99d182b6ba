// What the records of a modelled device amount to: chunks with their blocks, entries, known operations, what is not settled.
// It owns that content; when something is written or durable is model-store.ts.

import { addressSeed, crc32Range } from '../core/checksum.js';
import { BLOCK_STATE, STORE_STATUS } from '../sds/store/store.js';
import type {
  Geometry,
  OpRef,
  SavedEntry,
  StoreStatus,
  UnsettledRange,
} from '../sds/store/store.js';

import type { ModelMedium, ModelRecord, ModelWrite } from './model-medium.js';

export interface ModelChunk {
  readonly comb: number;
  readonly volumeKey: number;
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  stampEpoch: number;
  stampNumber: number;
  readonly states: Uint8Array;
  readonly bytes: Uint8Array;
  readonly crcs: Uint32Array;
}

/** What became of a read; bit i of the masks: block i does not verify. */
export interface ModelRead {
  readonly status: StoreStatus;
  readonly badLow: number;
  readonly badHigh: number;
}

/**
 * The child takes over what it lacks, and the parent's chunk is empty.
 *
 * @returns blocks of data that are gone
 */
function mergeChunks(child: ModelChunk, parent: ModelChunk, blockBytes: number): number {
  let gone = 0;
  for (let block = 0; block < child.states.length; block++) {
    const state = parent.states[block] ?? BLOCK_STATE.absent;
    const at = block * blockBytes;
    if (child.states[block] === BLOCK_STATE.absent) {
      child.states[block] = state;
      child.bytes.set(parent.bytes.subarray(at, at + blockBytes), at);
      child.crcs[block] = parent.crcs[block] ?? 0;
    } else if (state === BLOCK_STATE.data) gone++;
    parent.states[block] = BLOCK_STATE.absent;
  }
  return gone;
}

export class ModelContent {
  readonly chunks = new Map<string, ModelChunk>();
  readonly saved = new Map<number, SavedEntry>();
  /** Known operations: comb by id. */
  readonly known = new Map<string, { readonly comb: number; readonly ref: OpRef }>();
  unsettled: ModelWrite[] = [];
  usedBlocks = 0;
  private readonly medium: ModelMedium;
  private readonly geometry: Geometry;

  constructor(medium: ModelMedium, geometry: Geometry) {
    this.medium = medium;
    this.geometry = geometry;
  }

  /** Takes a record in, in the order of the log. */
  fold(record: ModelRecord): void {
    switch (record.kind) {
      case 'write':
        this.foldWrite(record);
        return;
      case 'entries':
        for (const entry of record.entries)
          if (entry.bytes.length === 0) this.saved.delete(entry.comb);
          else this.saved.set(entry.comb, entry);
        return;
      case 'restamp':
        for (const key of record.chunks) {
          const chunk = this.chunks.get(key);
          if (chunk !== undefined) this.stamp(chunk, record.epoch, record.number);
        }
        return;
      case 'forget':
        for (const [id, { comb }] of this.known) if (comb === record.comb) this.known.delete(id);
        return;
      case 'note':
        this.remember(record);
        return;
      case 'free':
        for (const [key, chunk] of this.chunks)
          if (chunk.volumeKey === record.volumeKey) this.dropChunk(key, chunk);
        return;
      case 'drop':
        for (const [key, chunk] of this.chunks)
          if (chunk.comb === record.comb) this.dropChunk(key, chunk);
        return;
      case 'merge':
        this.foldMerge(record.child, record.parentKey);
        return;
      case 'mode':
        return;
    }
  }

  private remember(ref: OpRef & { readonly comb: number }): void {
    if (ref.run === 0) return;
    const { run, opLow, opHigh, comb } = ref;
    this.known.set(`${run}:${opHigh}:${opLow}`, { comb, ref: { run, opLow, opHigh } });
  }

  keyOf(volumeKey: number, chunkIndex: number): string {
    return `${volumeKey}:${chunkIndex}`;
  }

  private chunkOf(write: ModelWrite): ModelChunk {
    const key = this.keyOf(write.volumeKey, write.chunkIndex);
    let chunk = this.chunks.get(key);
    if (chunk === undefined) {
      const { chunkBlocks, blockBytes } = this.geometry;
      const { comb, volumeKey, vtreeKey, chunkIndex } = write;
      chunk = {
        ...{ comb, volumeKey, vtreeKey, chunkIndex, stampEpoch: 0, stampNumber: 0 },
        states: new Uint8Array(chunkBlocks),
        bytes: new Uint8Array(chunkBlocks * blockBytes),
        crcs: new Uint32Array(chunkBlocks),
      };
      this.chunks.set(key, chunk);
    }
    return chunk;
  }

  private stamp(chunk: ModelChunk, epoch: number, number: number): void {
    const newer =
      epoch > chunk.stampEpoch || (epoch === chunk.stampEpoch && number > chunk.stampNumber);
    if (!newer) return;
    chunk.stampEpoch = epoch;
    chunk.stampNumber = number;
  }

  private foldWrite(write: ModelWrite): void {
    const chunk = this.chunkOf(write);
    const { blockBytes } = this.geometry;
    this.stamp(chunk, write.epoch, write.number);
    this.remember(write);
    if (write.lsn > this.medium.settledLsn) this.unsettled.push(write);
    const view =
      write.content === null ? null : new DataView(write.content.buffer, write.content.byteOffset);
    for (let index = 0; index < write.blockCount; index++) {
      const block = write.firstBlock + index;
      const had = chunk.states[block] === BLOCK_STATE.data;
      if (write.content === null || view === null) {
        chunk.states[block] = write.absent ? BLOCK_STATE.absent : BLOCK_STATE.zero;
        if (had) this.usedBlocks -= 1;
        continue;
      }
      if (!had) this.usedBlocks += 1;
      chunk.states[block] = BLOCK_STATE.data;
      const at = 4 * write.blockCount + index * blockBytes;
      chunk.bytes.set(write.content.subarray(at, at + blockBytes), block * blockBytes);
      chunk.crcs[block] = view.getUint32(4 * index, true);
      const rot = this.medium.rotten.get(`${write.volumeKey}:${write.chunkIndex}:${block}`);
      if (rot === write.lsn) {
        const place = block * blockBytes + 3;
        chunk.bytes[place] = (chunk.bytes[place] ?? 0) ^ 4;
      }
    }
  }

  private foldMerge(write: ModelWrite, parentKey: number): void {
    const parent = this.chunks.get(this.keyOf(parentKey, write.chunkIndex));
    if (parent === undefined) return;
    const child = this.chunkOf(write);
    this.usedBlocks -= mergeChunks(child, parent, this.geometry.blockBytes);
    for (const chunk of [child, parent]) this.stamp(chunk, write.epoch, write.number);
    if (write.lsn <= this.medium.settledLsn) return;
    this.unsettled.push({ ...write, volumeKey: parentKey }, write);
  }

  private dropChunk(key: string, chunk: ModelChunk): void {
    for (const state of chunk.states) if (state === BLOCK_STATE.data) this.usedBlocks -= 1;
    this.chunks.delete(key);
  }

  /** A bit flipped while the device is open. */
  noticeRot(): void {
    for (const [key, lsn] of this.medium.rotten) {
      const [volume, index, block] = key.split(':').map(Number);
      const chunk = this.chunks.get(`${volume ?? 0}:${index ?? 0}`);
      const record = this.medium.records.find((candidate) => candidate.lsn === lsn);
      if (chunk === undefined || record?.kind !== 'write' || record.content === null) continue;
      const { blockBytes } = this.geometry;
      const at = 4 * record.blockCount + ((block ?? 0) - record.firstBlock) * blockBytes;
      const place = (block ?? 0) * blockBytes + 3;
      // Only if that write is still what the block holds.
      const stands = record.content.every(
        (byte, index2) =>
          index2 < at ||
          index2 >= at + blockBytes ||
          chunk.bytes[(block ?? 0) * blockBytes + index2 - at] === byte,
      );
      if (stands) chunk.bytes[place] = (chunk.bytes[place] ?? 0) ^ 4;
    }
  }

  /** Blocks of a range that hold no data yet. */
  freshBlocks(
    volumeKey: number,
    chunkIndex: number,
    firstBlock: number,
    blockCount: number,
  ): number {
    const chunk = this.chunks.get(this.keyOf(volumeKey, chunkIndex));
    let fresh = 0;
    for (let block = firstBlock; block < firstBlock + blockCount; block++)
      if (chunk?.states[block] !== BLOCK_STATE.data) fresh += 1;
    return fresh;
  }

  /** CRCs to `at`, blocks behind them, verified. */
  read(range: Omit<UnsettledRange, 'comb'>, bytes: Uint8Array, at: number): ModelRead {
    const { blockBytes } = this.geometry;
    const { volumeKey, vtreeKey, chunkIndex, firstBlock, blockCount } = range;
    const chunk = this.chunks.get(this.keyOf(volumeKey, chunkIndex));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    let status: StoreStatus = STORE_STATUS.zero;
    let badLow = 0;
    let badHigh = 0;
    for (let index = 0; index < blockCount; index++) {
      const block = firstBlock + index;
      const seed = addressSeed(vtreeKey, chunkIndex, block);
      const place = at + 4 * blockCount + index * blockBytes;
      if (chunk?.states[block] !== BLOCK_STATE.data) {
        bytes.fill(0, place, place + blockBytes);
        view.setUint32(at + 4 * index, crc32Range(bytes, view, place, blockBytes, seed), true);
        continue;
      }
      if (status === STORE_STATUS.zero) status = STORE_STATUS.ok;
      bytes.set(chunk.bytes.subarray(block * blockBytes, (block + 1) * blockBytes), place);
      view.setUint32(at + 4 * index, chunk.crcs[block] ?? 0, true);
      if (crc32Range(bytes, view, place, blockBytes, seed) !== chunk.crcs[block]) {
        status = STORE_STATUS.corrupt;
        if (index < 32) badLow |= 1 << index;
        else badHigh |= 1 << (index - 32);
      }
    }
    return { status, badLow: badLow >>> 0, badHigh: badHigh >>> 0 };
  }

  /** Bytes of data by volume. */
  volumes(): { readonly volumeKey: number; readonly usedBytes: number }[] {
    const used = new Map<number, number>();
    for (const { volumeKey, states } of this.chunks.values()) {
      let blocks = 0;
      for (const state of states) if (state === BLOCK_STATE.data) blocks += 1;
      used.set(volumeKey, (used.get(volumeKey) ?? 0) + blocks * this.geometry.blockBytes);
    }
    return [...used].map(([volumeKey, usedBytes]) => ({ volumeKey, usedBytes }));
  }

  /** Chunks in which a comb has something that is not settled, by name. */
  unsettledChunks(comb: number): string[] {
    const names = new Set<string>();
    for (const write of this.unsettled)
      if (write.comb === comb) names.add(this.keyOf(write.volumeKey, write.chunkIndex));
    return [...names];
  }

  unsettledRanges(comb: number): Iterable<UnsettledRange> {
    return this.unsettled.filter((write) => write.comb === comb);
  }

  /** Content of all blocks as readers see it, by `volume:chunk:block`, without zero ones: for checkers. */
  allContent(): Map<string, Uint8Array> {
    const content = new Map<string, Uint8Array>();
    const { blockBytes, chunkBlocks } = this.geometry;
    for (const chunk of this.chunks.values())
      for (let block = 0; block < chunkBlocks; block++) {
        if (chunk.states[block] !== BLOCK_STATE.data) continue;
        const bytes = chunk.bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
        if (bytes.some((byte) => byte !== 0))
          content.set(`${chunk.volumeKey}:${chunk.chunkIndex}:${block}`, bytes);
      }
    return content;
  }
}
