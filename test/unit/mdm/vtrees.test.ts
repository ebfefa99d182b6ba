// Layers of V-trees against a model: whatever is snapshotted, reverted, removed and merged in whatever order, every volume reads
// what a full copy of its own would hold, and what nobody needs is freed.

import test from 'ava';
import fc from 'fast-check';

import type { Volume } from '../../../backend/protocol/generated/types.js';
import { validateCut } from '../../../backend/mdm/cut-ends.js';
import { State } from '../../../backend/mdm/state.js';
import {
  NO_POLICY,
  chainOf,
  dropVolume,
  endMerge,
  freeze,
  topOf,
  writingOf,
} from '../../../backend/mdm/vtrees.js';

const BLOCKS = 4;

/** Layers as a device holds them, and volumes as full copies would be. */
class Bench {
  readonly state = new State();
  readonly layers = new Map<number, Map<number, number>>();
  readonly copies = new Map<number, number[]>();
  private nextKey = 10;
  private nextValue = 1;
  private sequence = 1;

  constructor() {
    this.add({ key: 1, vtreeKey: 1, ancestorKey: 0 });
    this.copies.set(1, new Array<number>(BLOCKS).fill(0));
  }

  private add(one: Pick<Volume, 'key' | 'vtreeKey' | 'ancestorKey'>): void {
    this.state.volumes.put(one.key, {
      ...{
        poolKey: 2,
        groupKey: 0,
        name: `v${one.key}`,
        sizeSectors: 64,
        provisioning: 'thin',
        rmcache: true,
      },
      ...{ epoch: 1, createdAtMs: 0, lastMappingGeneration: 0, layerKey: 0 },
      ...{ accessLimit: 'readWrite', doubtful: false, fullPolicy: 'pool', ...NO_POLICY },
      ...one,
    });
  }

  at(draw: number): Volume | undefined {
    const all = [...this.state.volumes.values()];
    return all[draw % Math.max(1, all.length)];
  }

  write(volume: Volume, block: number): void {
    const top = topOf(volume);
    const layer = this.layers.get(top) ?? new Map<number, number>();
    this.layers.set(top, layer.set(block, this.nextValue));
    const copy = this.copies.get(volume.key);
    if (copy !== undefined) copy[block] = this.nextValue;
    this.nextValue += 1;
  }

  snapshot(volume: Volume): void {
    const key = this.nextKey++;
    const above = this.nextKey++;
    const parentKey = topOf(volume);
    freeze(this.state, volume, above);
    this.state.volumes.put(volume.key, { ...volume, layerKey: above });
    const { vtreeKey, poolKey } = volume;
    this.add({ key, vtreeKey, ancestorKey: volume.key });
    const stored = { key, poolKey, vtreeKey, parentKey, mergeKey: 0, mergeSequence: 0 };
    this.state.layers.put(key, stored);
    this.copies.set(key, [...(this.copies.get(volume.key) ?? [])]);
  }

  revert(volume: Volume, source: Volume): void {
    if (volume.key === source.key) return;
    const keys = { layerKey: this.nextKey++, snapshotKey: this.nextKey++ };
    const items = [{ ...keys, volumeKey: source.key, targetKey: volume.key, name: '' }];
    const cut = { key: 1, groupKey: 0, stage: 'switched', accessLimit: 'readWrite' } as const;
    validateCut(
      this.state,
      {
        ...cut,
        items,
        startedAtMs: 0,
        policyKey: 0,
        policyRun: 0,
        policyNextMs: 0,
        secureUntilMs: 0,
      },
      ++this.sequence,
    );
    this.copies.set(volume.key, [...(this.copies.get(source.key) ?? [])]);
    this.freeLayers();
  }

  remove(volume: Volume): void {
    dropVolume(this.state, volume, ++this.sequence);
    this.copies.delete(volume.key);
    this.freeLayers();
  }

  private freeLayers(): void {
    for (const key of this.state.tombstones.keys()) this.layers.delete(key);
  }

  /** What devices do with a merge that is under way, then its end. */
  merge(draw: number): boolean {
    const merging = [...this.state.layers.values()].filter(({ mergeKey }) => mergeKey !== 0);
    const layer = merging[draw % Math.max(1, merging.length)];
    if (layer === undefined) return false;
    const child = this.layers.get(layer.mergeKey) ?? new Map<number, number>();
    for (const [block, value] of this.layers.get(layer.key) ?? [])
      if (!child.has(block)) child.set(block, value);
    this.layers.set(layer.mergeKey, child);
    endMerge(this.state, layer, ++this.sequence);
    this.freeLayers();
    return true;
  }

  read(volume: Volume): number[] {
    const chain = chainOf(this.state, topOf(volume));
    return Array.from({ length: BLOCKS }, (_, block) => {
      const holder = chain.find((key) => this.layers.get(key)?.has(block) === true) ?? 0;
      return this.layers.get(holder)?.get(block) ?? 0;
    });
  }

  /** In words what is wrong, or ''. */
  fault(): string {
    for (const volume of this.state.volumes.values())
      if (this.read(volume).join() !== this.copies.get(volume.key)?.join())
        return `volume ${volume.key} reads ${this.read(volume).join()}`;
    const tops = new Set(Array.from(this.state.volumes.values(), (volume) => topOf(volume)));
    for (const { key, mergeKey } of this.state.layers.values()) {
      const children = this.state.layers.childrenOf(key);
      if (tops.has(key) && children.size > 0) return `the top ${key} is frozen`;
      if (!tops.has(key) && children.size === 0) return `nobody needs layer ${key}`;
      if (mergeKey !== 0 && (children.size !== 1 || !children.has(mergeKey)))
        return `${key} is merged into ${mergeKey}, which is not its only child`;
    }
    return '';
  }
}

const STEP = fc.record({
  what: fc.constantFrom('write', 'write', 'snapshot', 'revert', 'remove', 'merge'),
  one: fc.nat({ max: 30 }),
  other: fc.nat({ max: 30 }),
});

test('every volume reads as a copy of its own would, in any order of snapshots, reverts, removals and merges', (t) => {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
      const bench = new Bench();
      for (const { what, one, other } of steps) {
        const volume = bench.at(one);
        const source = bench.at(other);
        if (what === 'merge') bench.merge(one);
        else if (volume === undefined || source === undefined) break;
        else if (what === 'write') bench.write(volume, other % BLOCKS);
        else if (what === 'snapshot') bench.snapshot(volume);
        else if (what === 'revert') bench.revert(volume, source);
        else bench.remove(volume);
        const fault = bench.fault();
        if (fault !== '') throw new Error(fault);
      }
      while (bench.merge(0)) if (bench.fault() !== '') throw new Error(bench.fault());
      const { size } = bench.state.volumes;
      if (bench.state.layers.size > Math.max(0, 2 * size - 1))
        throw new Error(`${bench.state.layers.size} layers of ${size} volumes`);
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('a change that is taken back leaves no trace in the tree', (t) => {
  const bench = new Bench();
  const volume = bench.at(0);
  if (volume === undefined) throw new Error('a volume');
  bench.state.journal.take();
  bench.snapshot(volume);
  t.deepEqual([...bench.state.layers.childrenOf(1)], [11, 10]);
  bench.state.journal.rollback(0);
  t.is(bench.state.layers.size, 0);
  t.is(bench.state.layers.childrenOf(1).size, 0);
  t.deepEqual(writingOf(bench.state, volume), { epoch: 1, layers: [], cut: 0 });
});
