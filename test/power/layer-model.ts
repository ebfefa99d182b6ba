// What a store with snapshots must hold: changes and merges in order of their LSN, a tree of layers, volumes that read through
// it. It owns the expectation, also after a crash; the tree itself is metadata, which a crash of the device does not touch.

import { addressSeed, blockChecksum } from '../../backend/core/checksum.js';
import { BLOCK_STATE, ROOM, makeContext } from '../../backend/sds/store/store.js';
import type { WriteContext } from '../../backend/sds/store/store.js';

import { BYTES, GEOMETRY, blockOf } from './store-rig.js';
import type { Rig } from './store-rig.js';

const CHUNK = GEOMETRY.chunkBlocks;
const VTREE = 50;
export const CHUNKS = 6;

/** Expected of a block of a layer: absent, zeroes that hide what lies below, zeroes that need not, else a tag. */
const ABSENT = -1;
const MASK = 0;
const PLAIN_ZERO = -2;

interface Change {
  readonly lsn: number;
  readonly layerKey: number;
  readonly chunk: number;
  readonly first: number;
  readonly values: readonly number[];
  /** Of a merge: the layer that was merged into this one. */
  readonly parentKey: number;
}

type State = Map<string, number[]>;

export class LayerModel {
  readonly rig: Rig;
  /** Parent by layer, 0: root. */
  readonly layers = new Map<number, number>([[1, 0]]);
  /** Top layer by volume. */
  readonly volumes = new Map<number, number>([[1, 1]]);
  readonly merging = new Map<number, number>();
  merges = 0;
  conflicts = 0;
  private changes: Change[] = [];
  private nextKey = 2;
  private tag = 1;
  private op = 1;

  private readonly chunks: number;

  /** @param chunks - of each volume */
  constructor(rig: Rig, chunks = CHUNKS) {
    this.rig = rig;
    this.chunks = chunks;
    rig.onOpened = (lsn) => {
      this.changes = this.changes.filter((change) => change.lsn <= lsn);
    };
  }

  chain(topKey: number): number[] {
    const chain: number[] = [];
    for (let key = topKey; key !== 0; key = this.layers.get(key) ?? 0) chain.push(key);
    return chain;
  }

  private isTop(layerKey: number): boolean {
    return [...this.volumes.values()].includes(layerKey);
  }

  private childrenOf(layerKey: number): number[] {
    return [...this.layers].filter(([, parent]) => parent === layerKey).map(([key]) => key);
  }

  private context(
    layerKey: number,
    chunk: number,
    first: number,
    count: number,
    masks: boolean,
  ): WriteContext {
    return {
      ...makeContext(),
      caches: this.rig.cacheBytes > 0 && this.op % 2 === 0,
      ...{ comb: chunk % 4, generationEpoch: 1, generationNumber: 1, volumeKey: layerKey },
      ...{ vtreeKey: VTREE, volumeEpoch: 1, chunkIndex: chunk, firstBlock: first },
      ...{ blockCount: count, run: 5, opLow: this.op++, opHigh: 1, masks },
    };
  }

  private note(context: WriteContext, lsn: number, values: number[], parentKey = 0): void {
    const { volumeKey, chunkIndex, firstBlock } = context;
    this.changes.push({
      ...{ lsn, layerKey: volumeKey, chunk: chunkIndex, first: firstBlock },
      ...{ values, parentKey },
    });
  }

  private masks(volumeKey: number, chunk: number): boolean {
    const [, ...below] = this.chain(this.volumes.get(volumeKey) ?? 0);
    return below.some((key) => this.rig.store.hasChunk(key, chunk));
  }

  write(volumeKey: number, chunk: number, first: number, count: number, zeroes = false): boolean {
    const { store } = this.rig;
    const layerKey = this.volumes.get(volumeKey) ?? 0;
    if (store.room(layerKey, chunk, first, count) !== ROOM.ok) return false;
    const masks = this.masks(volumeKey, chunk);
    const values = Array.from({ length: count }, () =>
      zeroes ? (masks ? MASK : PLAIN_ZERO) : this.tag++,
    );
    const context = this.context(layerKey, chunk, first, count, masks);
    const bytes = this.payload(chunk, first, values);
    this.note(context, store.write(context, bytes, 0, 4 * count), values);
    return true;
  }

  private payload(chunk: number, first: number, values: readonly number[]): Uint8Array {
    const bytes = new Uint8Array(values.length * (BYTES + 4));
    const view = new DataView(bytes.buffer);
    values.forEach((value, index) => {
      const at = 4 * values.length + index * BYTES;
      blockOf(Math.max(0, value), bytes, at);
      const seed = addressSeed(VTREE, chunk, first + index);
      view.setUint32(4 * index, blockChecksum(bytes.subarray(at, at + BYTES), seed), true);
    });
    return bytes;
  }

  zero(volumeKey: number, chunk: number, first: number, count: number, discard: boolean): boolean {
    const { store } = this.rig;
    const layerKey = this.volumes.get(volumeKey) ?? 0;
    const masks = this.masks(volumeKey, chunk);
    const room = masks ? store.maskRoom(layerKey, chunk, false) : store.room(layerKey, chunk, 0, 0);
    if (room !== ROOM.ok) return false;
    const context = this.context(layerKey, chunk, first, count, masks);
    const value = masks ? MASK : discard ? ABSENT : PLAIN_ZERO;
    const values = new Array<number>(count).fill(value);
    this.note(context, store.zero(context, discard), values);
    return true;
  }

  /** The volume's content as of now gets a volume of its own. */
  snapshot(volumeKey: number): void {
    const frozen = this.volumes.get(volumeKey) ?? 0;
    const own = this.nextKey++;
    const theirs = this.nextKey++;
    this.layers.set(own, frozen);
    this.layers.set(theirs, frozen);
    this.volumes.set(volumeKey, own);
    this.volumes.set(theirs + 1000, theirs);
  }

  remove(volumeKey: number): void {
    const top = this.volumes.get(volumeKey) ?? 0;
    this.volumes.delete(volumeKey);
    this.dropIfFree(top);
  }

  private dropIfFree(layerKey: number): void {
    if (this.isTop(layerKey) || this.merging.has(layerKey)) return;
    const children = this.childrenOf(layerKey);
    if (children.length > 1) return;
    const [child] = children;
    const parent = this.layers.get(layerKey) ?? 0;
    // A layer that takes over another one is not itself taken over meanwhile: what it got late would stay behind.
    const isBusy = this.merging.get(parent) === layerKey || this.merging.has(child ?? 0);
    if (child !== undefined && isBusy) return;
    if (child !== undefined) {
      this.merging.set(layerKey, child);
      return;
    }
    // What is being merged into a layer that goes need not be merged any more.
    this.layers.delete(layerKey);
    this.rig.store.freeVolume(layerKey);
    if (this.merging.get(parent) === layerKey) this.merging.delete(parent);
    if (parent !== 0) this.dropIfFree(parent);
  }

  /** Merges one chunk, if it can be done now. */
  mergeSome(parentKey: number, busyChunk: number): void {
    const childKey = this.merging.get(parentKey) ?? 0;
    const { store } = this.rig;
    let left = 0;
    for (const { chunkIndex } of [...store.chunksOf(parentKey)]) {
      const emptied = store.isEmptied(parentKey, chunkIndex);
      if (emptied === true) continue;
      left++;
      if (chunkIndex === busyChunk || emptied === null) continue;
      if (store.mergeRoom(childKey, parentKey, chunkIndex, false) === ROOM.full) continue;
      this.mergeChunk(childKey, parentKey, chunkIndex);
      return;
    }
    if (left > 0) return;
    // As the MDM does: the layer goes once that cannot be lost any more.
    this.rig.flush();
    this.merging.delete(parentKey);
    this.layers.set(childKey, this.layers.get(parentKey) ?? 0);
    this.layers.delete(parentKey);
    store.freeVolume(parentKey);
    for (const layerKey of [...this.layers.keys()])
      if (this.layers.has(layerKey)) this.dropIfFree(layerKey);
  }

  private mergeChunk(childKey: number, parentKey: number, chunk: number): void {
    const { store } = this.rig;
    if (store.mergeRoom(childKey, parentKey, chunk, false) !== ROOM.ok) return;
    const marked = new Uint8Array(CHUNK);
    if (store.mergeConflicts(childKey, parentKey, chunk, marked) > 0) {
      const block = marked.indexOf(1);
      this.conflicts++;
      const value = this.expected(Infinity).get(`${parentKey}/${chunk}`)?.[block] ?? ABSENT;
      if (store.room(childKey, chunk, block, 1) !== ROOM.ok) return;
      const context = this.context(childKey, chunk, block, 1, true);
      const bytes = this.payload(chunk, block, [value]);
      this.note(context, store.write(context, bytes, 0, 4), [value]);
      return;
    }
    const context = this.context(childKey, chunk, 0, CHUNK, false);
    this.note(context, store.merge(context, parentKey), [], parentKey);
    this.merges++;
  }

  private expected(lsn: number): State {
    const state: State = new Map();
    const of = (layerKey: number, chunk: number): number[] => {
      const key = `${layerKey}/${chunk}`;
      const values = state.get(key) ?? new Array<number>(CHUNK).fill(ABSENT);
      state.set(key, values);
      return values;
    };
    for (const change of this.changes) {
      if (change.lsn > lsn) break;
      const values = of(change.layerKey, change.chunk);
      change.values.forEach((value, index) => (values[change.first + index] = value));
      if (change.parentKey === 0) continue;
      const parent = of(change.parentKey, change.chunk);
      parent.forEach((value, block) => {
        if (values[block] === ABSENT) values[block] = value;
        parent[block] = ABSENT;
      });
    }
    return state;
  }

  /** Tags that a volume reads in a chunk. */
  expectedRead(volumeKey: number, chunk: number, state = this.expected(Infinity)): number[] {
    const tags = new Array<number>(CHUNK).fill(0);
    for (const layerKey of this.chain(this.volumes.get(volumeKey) ?? 0).reverse())
      (state.get(`${layerKey}/${chunk}`) ?? []).forEach((value, block) => {
        if (value !== ABSENT) tags[block] = Math.max(0, value);
      });
    return tags;
  }

  /** Compares what every volume reads, what every layer says of its blocks, and the units; what is wrong, or null. */
  check(lsnMin: number): string | null {
    const { rig } = this;
    if (rig.openedLsn < lsnMin)
      return `record ${lsnMin} was safe, but only ${rig.openedLsn} survived`;
    const state = this.expected(rig.store.lastLsn);
    for (const [volumeKey, top] of this.volumes)
      for (let chunk = 0; chunk < this.chunks; chunk++) {
        const found = rig.readThrough(this.chain(top), VTREE, chunk, 0, CHUNK);
        const wanted = this.expectedRead(volumeKey, chunk, state);
        if (found.join() !== wanted.join())
          return `volume ${volumeKey} chunk ${chunk}: ${found.join()} instead of ${wanted.join()}`;
      }
    return this.checkStates(state) ?? this.checkRanges() ?? rig.checkUnits();
  }

  private checkStates(state: State): string | null {
    for (const layerKey of this.layers.keys())
      for (let chunk = 0; chunk < this.chunks; chunk++) {
        const values = state.get(`${layerKey}/${chunk}`) ?? new Array<number>(CHUNK).fill(ABSENT);
        const states = this.rig.describe(layerKey, chunk);
        const odd = values.findIndex((value, block) => !fits(value, states[block] ?? 0));
        if (odd >= 0)
          return `layer ${layerKey} chunk ${chunk}: ${states.join()} described, ${values.join()} written`;
      }
    return null;
  }

  /** Both chunks of a merge that is not settled have to be compared with other copies. */
  private checkRanges(): string | null {
    const { store } = this.rig;
    for (const { lsn, parentKey, layerKey, chunk } of this.changes) {
      if (parentKey === 0 || lsn <= store.settledLsn || lsn > store.lastLsn) continue;
      for (const key of [parentKey, layerKey]) {
        const ranges = [...store.unsettledRanges(chunk % 4)];
        if (!ranges.some((range) => range.volumeKey === key && range.chunkIndex === chunk))
          return `the merge ${lsn} is not settled, but layer ${key} is not listed`;
      }
    }
    return null;
  }
}

function fits(value: number, state: number): boolean {
  if (value === ABSENT) return state === BLOCK_STATE.absent;
  // Zeroes that are written where there is a unit are data as any.
  if (value === MASK) return state !== BLOCK_STATE.absent;
  if (value === PLAIN_ZERO) return true;
  return state === BLOCK_STATE.data;
}
