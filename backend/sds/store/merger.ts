// Merges a layer's chunk into the same chunk of its child, which is the layer above. It owns the record that says so, and
// the descriptors that it waits for; it must never move data: units change hands, and blocks that lie in a unit which both
// have are written to the child before.
//
// A note that the parent's blocks changed goes before the record, in the same batch and as the same change: copies that are
// compared after a crash are compared in both layers or in none, or one that had not merged would erase data on one that had.

import { assert } from '../../core/assert.js';
import * as disk from '../../protocol/generated/disk.js';
import { RECORD_FLAGS, RECORD_KIND } from '../../protocol/tables/disk.js';

import type { Appender } from './appender.js';
import { STATE, UNIT_NONE, UNIT_UNKNOWN } from './chunk-cache.js';
import { bitCount } from './directory.js';
import { stateBytes } from './layout.js';
import type { Loader } from './loader.js';
import type { Parts } from './parts.js';
import { NOTE_BYTES } from './records.js';
import { MERGE_DOUBTFUL, makeContext } from './store.js';
import type { WriteContext } from './store.js';

export class Merger {
  private readonly parts: Parts;
  private readonly loader: Loader;
  private readonly appender: Appender;
  /** Entries whose descriptors were asked for: they stay until the owner was told. */
  private readonly awaited = new Set<number>();
  private readonly context = makeContext();
  /** By unit: address that goes, and block by block what the child takes over. */
  private readonly freed: Uint32Array;
  private readonly taken: Uint8Array;
  private newMask = 0;
  private freeMask = 0;
  private dataCount = 0;

  constructor(parts: Parts, loader: Loader, appender: Appender) {
    this.parts = parts;
    this.loader = loader;
    this.appender = appender;
    this.freed = new Uint32Array(parts.layout.unitsPerChunk);
    this.taken = new Uint8Array(parts.layout.geometry.chunkBlocks);
  }

  /** Whether the descriptor of a row is here; else it comes, and `loaded` will say so. */
  isHere(row: number): boolean {
    const { cache } = this.parts;
    const entry = this.loader.entryOf(row);
    if (cache.loaded[entry] === 1) return true;
    if (!this.awaited.has(entry)) {
      this.awaited.add(entry);
      cache.pins[entry] = (cache.pins[entry] ?? 0) + 1;
    }
    return false;
  }

  /** A descriptor arrived. Returns whether the owner waits for it. */
  loaded(entry: number): boolean {
    return this.awaited.has(entry);
  }

  /** The owner was told: what it did not use by now may go. */
  told(): void {
    const { cache } = this.parts;
    for (const entry of this.awaited) {
      if (cache.loaded[entry] === 0) continue;
      this.awaited.delete(entry);
      cache.pins[entry] = (cache.pins[entry] ?? 0) - 1;
    }
  }

  /** See `LayerStore.mergeConflicts`. */
  conflicts(row: number, parentRow: number, blocks: Uint8Array): number {
    const { cache, layout } = this.parts;
    const { chunkBlocks, unitBlocks } = layout.geometry;
    blocks.fill(0, 0, chunkBlocks);
    if (row < 0 || parentRow < 0) return 0;
    const entry = this.loader.entryOf(row);
    const parent = this.loader.entryOf(parentRow);
    let count = 0;
    for (let unit = 0; unit < layout.unitsPerChunk; unit++) {
      if (this.isDoubtful(entry, parent, unit)) return MERGE_DOUBTFUL;
      if (!this.contains(entry, unit, STATE.data)) continue;
      for (let block = unit * unitBlocks; block < (unit + 1) * unitBlocks; block++) {
        if (cache.states[entry * chunkBlocks + block] !== STATE.absent) continue;
        if (cache.states[parent * chunkBlocks + block] !== STATE.data) continue;
        blocks[block] = 1;
        count++;
      }
    }
    return count;
  }

  /** Whether what one layer lost may be a block that, on another copy, has no place when the unit changes hands. */
  private isDoubtful(entry: number, parent: number, unit: number): boolean {
    const ownLost = this.contains(entry, unit, STATE.lost);
    const theirsLost = this.contains(parent, unit, STATE.lost);
    if (!ownLost && !theirsLost) return false;
    const own = ownLost || this.contains(entry, unit, STATE.data);
    return own && (theirsLost || this.contains(parent, unit, STATE.data));
  }

  private contains(entry: number, unit: number, state: number): boolean {
    const { cache, layout } = this.parts;
    const { chunkBlocks, unitBlocks } = layout.geometry;
    const first = entry * chunkBlocks + unit * unitBlocks;
    for (let index = first; index < first + unitBlocks; index++)
      if (cache.states[index] === state) return true;
    return false;
  }

  /** See `LayerStore.merge`. */
  merge(context: WriteContext, parentRow: number, parentKey: number): number {
    const { directory, cache, log, ring, layout } = this.parts;
    const { chunkBlocks } = layout.geometry;
    const parent = parentRow < 0 ? -1 : this.loader.entryOf(parentRow);
    if (parent < 0 || cache.isEmptied(parent)) return log.lastLsn;
    let row = directory.find(context.volumeKey, context.chunkIndex);
    const fresh = row < 0;
    if (fresh) {
      // A new entry must not take the place of the other one.
      cache.pins[parent] = (cache.pins[parent] ?? 0) + 1;
      row = this.appender.createRow(context);
      cache.pins[parent] = (cache.pins[parent] ?? 0) - 1;
    }
    const entry = this.loader.entryOf(row);
    assert(cache.loaded[entry] === 1 && cache.loaded[parent] === 1, 'both descriptors are here');
    this.plan(entry, parent);
    const addresses = bitCount(this.newMask) + bitCount(this.freeMask);
    const recordBytes =
      disk.RECORD_BYTES + 4 * (addresses + this.dataCount) + stateBytes(chunkBlocks);
    log.keepTogether(NOTE_BYTES + recordBytes);
    this.noteParent(context, parentKey);
    const lsn = log.beginRecord(recordBytes, 0);
    const own = this.context;
    Object.assign(own, context);
    own.firstBlock = 0;
    own.blockCount = chunkBlocks;
    own.volumeEpoch = parentKey;
    own.run = 0;
    const flags = fresh ? RECORD_FLAGS.fresh : 0;
    this.appender.records.putHead(RECORD_KIND.merge, flags, recordBytes, own, row);
    disk.setRecordNewMask(log.view, log.recordAt, this.newMask);
    disk.setRecordFreeMask(log.view, log.recordAt, this.freeMask);
    disk.setRecordExtra(log.view, log.recordAt, parentRow);
    const at = this.putUnits(entry, parent, row, parentRow, lsn, log.recordAt + disk.RECORD_BYTES);
    this.putBlocks(entry, parent, at);
    for (const changed of [row, parentRow])
      directory.stamp(changed, context.comb, context.generationEpoch, context.generationNumber);
    cache.touch(entry, lsn);
    cache.touch(parent, lsn);
    ring.add(lsn, own, lsn);
    return lsn;
  }

  /** What becomes of every unit and block. */
  private plan(entry: number, parent: number): void {
    const { cache, layout } = this.parts;
    const { unitBlocks } = layout.geometry;
    this.newMask = 0;
    this.freeMask = 0;
    this.dataCount = 0;
    for (let unit = 0; unit < layout.unitsPerChunk; unit++) {
      const own = cache.units[entry * cache.unitsPerChunk + unit] ?? 0;
      const theirs = cache.units[parent * cache.unitsPerChunk + unit] ?? 0;
      assert(own !== UNIT_UNKNOWN && theirs !== UNIT_UNKNOWN, 'both descriptors are here');
      const keeps = this.contains(entry, unit, STATE.data);
      let moves = false;
      for (let block = unit * unitBlocks; block < (unit + 1) * unitBlocks; block++)
        if (this.take(entry, parent, block, keeps) === STATE.data) moves = true;
      const goes = moves ? own : theirs;
      if (moves) this.newMask |= 1 << unit;
      this.freed[unit] = goes;
      if (goes !== UNIT_NONE) this.freeMask |= 1 << unit;
    }
    this.newMask >>>= 0;
    this.freeMask >>>= 0;
  }

  /**
   * State of a block that the child takes over, or absent: it takes none. What cannot come because the unit stays the
   * child's is lost, so that it is repaired from another copy and never guessed (C9).
   */
  private take(entry: number, parent: number, block: number, keeps: boolean): number {
    const { cache } = this.parts;
    const theirs = cache.states[parent * cache.chunkBlocks + block] ?? 0;
    const isTaken =
      theirs !== STATE.absent && cache.states[entry * cache.chunkBlocks + block] === STATE.absent;
    let state: number = isTaken ? theirs : STATE.absent;
    if (keeps && state === STATE.data) state = STATE.lost;
    this.taken[block] = state;
    if (state === STATE.data) this.dataCount++;
    return state;
  }

  /** C6, C7: the parent's chunk changed too. */
  private noteParent(context: WriteContext, parentKey: number): void {
    const own = this.context;
    Object.assign(own, context);
    own.volumeKey = parentKey;
    own.firstBlock = 0;
    own.blockCount = this.parts.layout.geometry.chunkBlocks;
    own.run = 0;
    this.appender.records.note(own, this.parts.log.lastLsn + 2);
  }

  /** Moves and frees units; returns the place behind their addresses. */
  private putUnits(
    entry: number,
    parent: number,
    row: number,
    parentRow: number,
    lsn: number,
    at: number,
  ): number {
    const { cache, directory, units, log } = this.parts;
    const { newMask, freeMask } = this;
    let place = at;
    const put = (address: number): void => {
      log.view.setUint32(place, address, true);
      place += 4;
    };
    for (let unit = 0; unit < cache.unitsPerChunk; unit++) {
      const theirs = parent * cache.unitsPerChunk + unit;
      const address = cache.units[theirs] ?? UNIT_NONE;
      cache.units[theirs] = UNIT_NONE;
      if ((newMask & (1 << unit)) === 0) continue;
      cache.units[entry * cache.unitsPerChunk + unit] = address;
      put(address);
    }
    for (let unit = 0; unit < cache.unitsPerChunk; unit++) {
      if ((freeMask & (1 << unit)) === 0) continue;
      const address = this.freed[unit] ?? 0;
      units.release(address - 1, lsn, false);
      put(address);
    }
    directory.setUnitMask(row, ((directory.unitMasks[row] ?? 0) | newMask) >>> 0);
    directory.setUnitMask(parentRow, 0);
    return place;
  }

  private putBlocks(entry: number, parent: number, at: number): void {
    const { cache, log } = this.parts;
    let crcAt = at + stateBytes(cache.chunkBlocks);
    log.bytes.fill(0, at, crcAt);
    for (let block = 0; block < cache.chunkBlocks; block++) {
      const state = this.taken[block] ?? 0;
      const crc = cache.crcs[parent * cache.chunkBlocks + block] ?? 0;
      if (state === STATE.absent) cache.setHome(parent, block, STATE.absent, 0);
      else {
        const logBlock = cache.takeBlock(entry, parent, block, state, crc);
        if (logBlock >= 0) log.owners[logBlock] = entry * cache.chunkBlocks + block + 1;
        const byte = at + (block >>> 2);
        log.bytes[byte] = (log.bytes[byte] ?? 0) | (state << ((block & 3) * 2));
      }
      if (state !== STATE.data) continue;
      log.view.setUint32(crcAt, crc, true);
      crcAt += 4;
    }
  }
}
