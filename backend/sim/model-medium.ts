// What survives the processes of a modelled device: records in the order appended, how many of them are written and
// durable. It owns the rules of survival that the store's contract gives; the real device format has the same ones and is
// simulated with real bytes (disk.ts) in other scenarios.

import type { Prng } from '../core/prng.js';
import type { SavedEntry, WriteContext } from '../sds/store/store.js';

export interface ModelWrite {
  readonly kind: 'write';
  readonly lsn: number;
  readonly comb: number;
  readonly epoch: number;
  readonly number: number;
  readonly volumeKey: number;
  readonly vtreeKey: number;
  readonly chunkIndex: number;
  readonly firstBlock: number;
  readonly blockCount: number;
  readonly run: number;
  readonly opLow: number;
  readonly opHigh: number;
  /** CRCs, then blocks; null: zero. */
  readonly content: Uint8Array | null;
  /** To zero, and nothing hides what lies below. */
  readonly absent: boolean;
}

/** The record of a write; `content` null: to zero. */
export function writeRecord(
  context: WriteContext,
  lsn: number,
  content: Uint8Array | null,
  absent = false,
): ModelWrite {
  return {
    kind: 'write',
    lsn,
    comb: context.comb,
    epoch: context.generationEpoch,
    number: context.generationNumber,
    volumeKey: context.volumeKey,
    vtreeKey: context.vtreeKey,
    chunkIndex: context.chunkIndex,
    firstBlock: context.firstBlock,
    blockCount: context.blockCount,
    run: context.run,
    opLow: context.opLow,
    opHigh: context.opHigh,
    content,
    absent,
  };
}

export type ModelRecord =
  | ModelWrite
  | { readonly kind: 'entries'; readonly lsn: number; readonly entries: readonly SavedEntry[] }
  | {
      readonly kind: 'restamp';
      readonly lsn: number;
      readonly comb: number;
      readonly epoch: number;
      readonly number: number;
      readonly chunks: readonly string[];
    }
  | { readonly kind: 'forget'; readonly lsn: number; readonly comb: number }
  | {
      readonly kind: 'note';
      readonly lsn: number;
      readonly comb: number;
      readonly run: number;
      readonly opLow: number;
      readonly opHigh: number;
    }
  | {
      readonly kind: 'merge';
      readonly lsn: number;
      /** Of the child, all blocks. */
      readonly child: ModelWrite;
      readonly parentKey: number;
    }
  | { readonly kind: 'free'; readonly lsn: number; readonly volumeKey: number }
  | { readonly kind: 'drop'; readonly lsn: number; readonly comb: number }
  | { readonly kind: 'mode'; readonly lsn: number; readonly isVolatile: boolean };

export interface ModelFormat {
  readonly systemId: string;
  readonly deviceKey: number;
  readonly poolKey: number;
}

export interface ModelFaults {
  slowFactor: number;
  failWrites: boolean;
  failFlushes: boolean;
  failReads: boolean;
}

export class ModelMedium {
  readonly capacityBlocks: number;
  readonly faults: ModelFaults = {
    slowFactor: 1,
    failWrites: false,
    failFlushes: false,
    failReads: false,
  };
  format: ModelFormat | null = null;
  /** As the superblock of a real device says it. */
  formatVersion = 1;
  incarnation = 0;
  records: ModelRecord[] = [];
  lastLsn = 0;
  writtenLsn = 0;
  durableLsn = 0;
  /** What replication called settled, and what of that a restart is sure to know. */
  settledLsn = 0;
  settledDurableLsn = 0;
  /** Boot during which records were appended that no clean end followed; empty: none. */
  dirtyBoot = '';
  /** Blocks whose bits flipped: `volume:chunk:block`, until they are written again. */
  readonly rotten = new Map<string, number>();
  private readonly prng: Prng;

  constructor(capacityBlocks: number, prng: Prng) {
    this.capacityBlocks = capacityBlocks;
    this.prng = prng;
  }

  /** The process died: what was written stays, of the rest any number of records in order. */
  processDied(): void {
    this.cutAt(this.writtenLsn);
    this.writtenLsn = this.lastLsn;
  }

  /** The power went: what is durable stays, of the rest any number of records in order. */
  powerLoss(): void {
    this.cutAt(this.durableLsn);
    this.writtenLsn = this.lastLsn;
    this.durableLsn = this.lastLsn;
  }

  private cutAt(lsn: number): void {
    const sure = this.records.filter((record) => record.lsn <= lsn).length;
    const kept = sure + this.prng.below(this.records.length - sure + 1);
    this.records.length = kept;
    this.lastLsn = this.records.at(-1)?.lsn ?? lsn;
    if (this.prng.chance(1, 2)) this.settledLsn = this.settledDurableLsn;
    this.settledLsn = Math.min(this.settledLsn, this.lastLsn);
  }

  /** Flips a bit of some written block for good; false: nothing is written. */
  rot(): boolean {
    const writes = this.records.filter(
      (record) => record.kind === 'write' && record.content !== null,
    );
    if (writes.length === 0) return false;
    const write = this.prng.pick(writes);
    if (write.kind !== 'write') return false;
    const block = write.firstBlock + this.prng.below(write.blockCount);
    this.rotten.set(`${write.volumeKey}:${write.chunkIndex}:${block}`, write.lsn);
    return true;
  }
}
