// Judges a history: every sector must behave like one register, every block must be written as a whole, nothing that
// was acknowledged may be lost. It owns what belongs to one block; the search for an order is check-sector.ts. It must never
// look at the cluster.

import { SectorSearch, StepBudget } from './check-sector.js';
import { concerns } from './history.js';
import type { Evidence, OpRecord } from './history.js';

interface Options {
  readonly sectorsPerBlock: number;
  /** Acknowledged writes need a flush to survive a loss. */
  readonly isVolatile: boolean;
  /** A disk lied: what was flushed may be lost, too. */
  readonly flushesLie?: boolean;
}

interface Inner extends Options {
  readonly budget: StepBudget;
}

/** Why the history cannot be explained, or null when it can. */
export function checkHistory(history: Evidence, options: Options): string | null {
  const inner = { ...options, budget: new StepBudget() };
  const volumes = new Set(history.ops.map((record) => record.volume));
  for (const volume of volumes) {
    // What it began with may have been lost since.
    if (history.beginnings.get(volume) === null) continue;
    const fault = checkVolume(history, volume, inner);
    if (fault !== null) return fault;
  }
  return null;
}

function checkVolume(history: Evidence, volume: number, options: Inner): string | null {
  const { sectorsPerBlock } = options;
  const byBlock = new Map<number, OpRecord[]>();
  for (const record of history.ops) {
    if (record.kind === 'flush' || !concerns(record, volume)) continue;
    if (record.kind === 'read' && record.endUs === Infinity) continue;
    const first = Math.floor(record.firstSector / sectorsPerBlock);
    const last = Math.floor((record.firstSector + record.sectors - 1) / sectorsPerBlock);
    for (let block = first; block <= last; block++) {
      const list = byBlock.get(block);
      if (list === undefined) byBlock.set(block, [record]);
      else list.push(record);
    }
  }
  for (const [sector, tag] of history.beginnings.get(volume) ?? []) {
    if (tag === 0) continue;
    const block = Math.floor(sector / sectorsPerBlock);
    byBlock.set(block, [begunWith(volume, sector, tag), ...(byBlock.get(block) ?? [])]);
  }
  const writes = new Map<number, OpRecord>();
  for (const record of history.ops) if (record.kind === 'write') writes.set(record.tag, record);
  const flushes = history.ops.filter(
    (record) => record.kind === 'flush' && record.volume === volume && record.endUs !== Infinity,
  );
  for (const [block, records] of byBlock) {
    const fault = checkBlock(history, volume, block, records, writes, flushes, options);
    if (fault !== null) return fault;
  }
  return null;
}

/** What a snapshot began with, as a write before everything else. */
function begunWith(volume: number, sector: number, tag: number): OpRecord {
  return {
    ...{ index: -1, kind: 'write', volume, volumeKey: volume, root: volume, alsoIn: [] },
    ...{ client: 0, life: 0 },
    ...{ fua: true, firstSector: sector, sectors: 1, tag, startUs: -2, endUs: -1 },
    ...{ fencedUs: Infinity, isShutDown: false, seen: [] },
  };
}

function checkBlock(
  history: Evidence,
  volume: number,
  block: number,
  records: readonly OpRecord[],
  writes: ReadonlyMap<number, OpRecord>,
  flushes: readonly OpRecord[],
  options: Inner,
): string | null {
  const { sectorsPerBlock } = options;
  const first = block * sectorsPerBlock;
  let uniform = true;
  for (const record of records) {
    const whole =
      record.firstSector <= first && record.firstSector + record.sectors >= first + sectorsPerBlock;
    if (!whole) uniform = false;
    if (record.kind !== 'read') continue;
    const torn = tornRead(record, first, sectorsPerBlock, writes);
    if (torn !== null) return `volume ${volume} block ${block}: ${torn}`;
    if (whole) {
      const tag = record.seen[first - record.firstSector];
      for (let sector = first; sector < first + sectorsPerBlock; sector++)
        if (record.seen[sector - record.firstSector] !== tag) uniform = false;
    }
  }
  const { isVolatile, flushesLie = false, budget } = options;
  const losses = isVolatile ? history.losses.map(({ atUs }) => atUs) : [];
  // When every operation treats all sectors of the block alike, one of them stands for all.
  const last = uniform ? first + 1 : first + sectorsPerBlock;
  for (let sector = first; sector < last; sector++) {
    const here = records.filter(
      (record) => record.firstSector <= sector && record.firstSector + record.sectors > sector,
    );
    const fault = new SectorSearch(sector, here, flushes, losses, flushesLie, budget).run();
    if (fault !== null) return `volume ${volume} block ${block} sector ${sector}: ${fault}`;
  }
  return null;
}

/** A read that shows parts of two writes although either one covers the place of the other. */
function tornRead(
  read: OpRecord,
  first: number,
  sectorsPerBlock: number,
  writes: ReadonlyMap<number, OpRecord>,
): string | null {
  for (let one = first; one < first + sectorsPerBlock; one++) {
    const left = writes.get(read.seen[one - read.firstSector] ?? 0);
    if (left === undefined) continue;
    for (let other = one + 1; other < first + sectorsPerBlock; other++) {
      const right = writes.get(read.seen[other - read.firstSector] ?? 0);
      if (right === undefined || right === left) continue;
      if (covers(left, other) && covers(right, one))
        return `read ${read.index} is torn between writes ${left.index} and ${right.index}`;
    }
  }
  return null;
}

function covers(record: OpRecord, sector: number): boolean {
  return record.firstSector <= sector && record.firstSector + record.sectors > sector;
}
