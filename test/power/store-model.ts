// What a store must hold: every change in order of its LSN. It owns the expectation after a crash: the state as of exactly
// one LSN, at least the newest that was reported (durable after a power loss, written after a kill).

import { addressSeed, blockChecksum } from '../../backend/core/checksum.js';
import { ROOM } from '../../backend/sds/store/store.js';
import type { WriteContext } from '../../backend/sds/store/store.js';

import { BYTES, GEOMETRY, blockOf } from './store-rig.js';
import type { Rig } from './store-rig.js';

const CHUNK = GEOMETRY.chunkBlocks;

interface Change {
  readonly lsn: number;
  readonly volumeKey: number;
  readonly chunk: number;
  readonly first: number;
  /** Tag per block; 0: zeroes. */
  readonly tags: readonly number[];
  readonly op: string;
  readonly comb: number;
}

export class Model {
  readonly rig: Rig;
  changes: Change[] = [];
  freed: { readonly lsn: number; readonly volumeKey: number }[] = [];
  entries: { readonly lsn: number; readonly comb: number; readonly text: string }[] = [];
  settledLsn = 0;
  private tag = 1;
  private op = 1;

  constructor(rig: Rig) {
    this.rig = rig;
    // The store appends records of its own from here on, so this is the moment that tells what survived.
    rig.onOpened = (lsn) => {
      this.forgetAfter(lsn);
    };
  }

  private forgetAfter(lsn: number): void {
    this.changes = this.changes.filter((change) => change.lsn <= lsn);
    this.freed = this.freed.filter((change) => change.lsn <= lsn);
    this.entries = this.entries.filter((entry) => entry.lsn <= lsn);
  }

  private context(volumeKey: number, chunk: number, first: number, count: number): WriteContext {
    return {
      comb: chunk % 4,
      generationEpoch: 1,
      generationNumber: 1,
      volumeKey,
      vtreeKey: volumeKey,
      volumeEpoch: 1,
      masks: false,
      caches: false,
      chunkIndex: chunk,
      firstBlock: first,
      blockCount: count,
      run: 5,
      opLow: this.op++,
      opHigh: 1,
    };
  }

  private note(context: WriteContext, tags: readonly number[], lsn: number): void {
    this.changes.push({
      lsn,
      volumeKey: context.volumeKey,
      chunk: context.chunkIndex,
      first: context.firstBlock,
      tags,
      op: `${context.run}/${context.opLow}/${context.opHigh}`,
      comb: context.comb,
    });
  }

  /** Writes fresh tags (or zeroes). Returns false when there is no room. */
  write(volumeKey: number, chunk: number, first: number, count: number, zeroes = false): boolean {
    const { rig } = this;
    if (rig.store.room(volumeKey, chunk, first, count) !== ROOM.ok) return false;
    const bytes = new Uint8Array(count * (BYTES + 4));
    const view = new DataView(bytes.buffer);
    const tags: number[] = [];
    for (let index = 0; index < count; index++) {
      const tag = zeroes ? 0 : this.tag++;
      const at = 4 * count + index * BYTES;
      blockOf(tag, bytes, at);
      const seed = addressSeed(volumeKey, chunk, first + index);
      view.setUint32(4 * index, blockChecksum(bytes.subarray(at, at + BYTES), seed), true);
      tags.push(tag);
    }
    const context = this.context(volumeKey, chunk, first, count);
    this.note(context, tags, rig.store.write(context, bytes, 0, 4 * count));
    return true;
  }

  zero(volumeKey: number, chunk: number, first: number, count: number, discard: boolean): boolean {
    if (this.rig.store.room(volumeKey, chunk, first, 0) !== ROOM.ok) return false;
    const context = this.context(volumeKey, chunk, first, count);
    const tags = new Array<number>(count).fill(0);
    this.note(context, tags, this.rig.store.zero(context, discard));
    return true;
  }

  freeVolume(volumeKey: number): void {
    this.rig.store.freeVolume(volumeKey);
    this.freed.push({ lsn: this.rig.store.lastLsn, volumeKey });
  }

  saveEntry(comb: number, text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.entries.push({ lsn: this.rig.store.saveEntries([{ comb, bytes }]), comb, text });
  }

  settle(lsn: number): void {
    this.rig.store.settle(lsn);
    this.settledLsn = Math.max(this.settledLsn, lsn);
  }

  private expected(lsn: number): Map<string, number[]> {
    const state = new Map<string, number[]>();
    for (const change of this.changes) {
      if (change.lsn > lsn) break;
      const key = `${change.volumeKey}/${change.chunk}`;
      const tags = state.get(key) ?? new Array<number>(CHUNK).fill(0);
      change.tags.forEach((tag, index) => (tags[change.first + index] = tag));
      state.set(key, tags);
    }
    return state;
  }

  /**
   * Compares everything with the store, which is open.
   *
   * @param lsnMin - newest LSN that had been reported as safe from what happened
   * @returns what is wrong, or null
   */
  check(lsnMin: number): string | null {
    const { rig } = this;
    const lsn = rig.store.lastLsn;
    if (rig.openedLsn < lsnMin)
      return `record ${lsnMin} was safe, but only ${rig.openedLsn} survived`;
    return (
      this.checkBlocks(lsn) ?? this.checkEntries() ?? this.checkRanges(lsn) ?? this.checkUnits()
    );
  }

  checkBlocks(lsn: number): string | null {
    const { rig } = this;
    for (const [key, tags] of this.expected(lsn)) {
      const [volumeKey = 0, chunk = 0] = key.split('/').map(Number);
      if (this.freed.some((one) => one.volumeKey === volumeKey)) continue;
      const found = rig.readTags(volumeKey, chunk, 0, CHUNK);
      if (found.join() !== tags.join())
        return `chunk ${key} at ${lsn}: ${found.join()} instead of ${tags.join()}`;
      const states = rig.describe(volumeKey, chunk);
      const odd = tags.findIndex((tag, block) => tag !== 0 && states[block] !== 1);
      if (odd >= 0) return `chunk ${key}: block ${odd} holds data, but is described otherwise`;
    }
    return null;
  }

  private checkEntries(): string | null {
    const wanted = new Map<number, string>();
    for (const { comb, text } of this.entries)
      if (text === '') wanted.delete(comb);
      else wanted.set(comb, text);
    const found = new Map<number, string>();
    for (const { comb, bytes } of this.rig.store.entries()) {
      if (found.has(comb)) return `comb ${comb} has two entries`;
      found.set(comb, new TextDecoder().decode(bytes));
    }
    const text = (map: Map<number, string>): string =>
      JSON.stringify([...map].sort((one, other) => one[0] - other[0]));
    return text(found) === text(wanted) ? null : `entries ${text(found)}, not ${text(wanted)}`;
  }

  private checkRanges(lsn: number): string | null {
    const { rig } = this;
    if (rig.store.settledLsn > this.settledLsn) return 'more is settled than was said';
    for (let comb = 0; comb < 4; comb++) {
      const ranges = [...rig.store.unsettledRanges(comb)];
      for (const change of this.changes) {
        if (change.comb !== comb || change.lsn <= this.settledLsn || change.lsn > lsn) continue;
        const listed = ranges.some(
          (range) =>
            range.volumeKey === change.volumeKey &&
            range.chunkIndex === change.chunk &&
            range.firstBlock === change.first &&
            range.blockCount === change.tags.length,
        );
        if (!listed) return `the change ${change.lsn} is not settled, but it is not listed`;
      }
      const unknown = ranges.find(
        (range) =>
          !this.changes.some(
            (change) =>
              change.volumeKey === range.volumeKey &&
              change.chunk === range.chunkIndex &&
              change.first === range.firstBlock,
          ),
      );
      if (unknown !== undefined) return `an unknown range is listed: ${JSON.stringify(unknown)}`;
    }
    for (const change of this.changes) {
      const [run = 0, low = 0, high = 0] = change.op.split('/').map(Number);
      if (rig.neededOps.has(change.op) && !rig.store.knowsOp(run, low, high))
        return `the operation of record ${change.lsn} is needed, but forgotten`;
    }
    return null;
  }

  private checkUnits(): string | null {
    const { rig } = this;
    // Volumes that are being freed change the counts while they are counted.
    const running = (rig.store as unknown as { running: { parts: { dying: Set<number> } } })
      .running;
    rig.runUntil(() => running.parts.dying.size === 0);
    const audit = rig.audit();
    const { bitmap, directory, descriptors, doubles } = audit;
    if (doubles === 0 && bitmap === directory && directory === descriptors) return null;
    return `units: ${JSON.stringify(audit)}`;
  }
}
