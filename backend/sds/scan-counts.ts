// What the background scanner of a device found, and which of it is not put right yet. It owns the sums; a block counts once
// until it is right again, however often it is met.

import type { BlockRange, ScanCounts } from '../protocol/generated/types.js';

/** Differences that are remembered; beyond, one that stays is counted in each pass. */
const DIFFERENCES_MAX = 4096;

/** Where two copies differed. */
export interface Difference {
  readonly range: BlockRange;
  readonly peerKey: number;
  blocks: number;
}

export class ScanTotals {
  scannedBytes = 0;
  passes = 0;
  comparedBytes = 0;
  private readErrors = 0;
  private fixedReadErrors = 0;
  private compareErrors = 0;
  private fixedCompareErrors = 0;
  /** Blocks that do not verify, of those counted. */
  private badBlocks = 0;
  private readonly differences = new Map<string, Difference>();

  /** Blocks were found that do not verify. */
  found(blocks: number): void {
    this.readErrors += blocks;
    this.badBlocks += blocks;
  }

  /** Of blocks that were found, so many are right again. */
  fixed(blocks: number): void {
    this.fixedReadErrors += blocks;
    this.badBlocks -= blocks;
  }

  /**
   * A copy was compared.
   *
   * @param blocks - in which it differs now
   * @returns by how many these are more than when it was compared before
   */
  compared(range: BlockRange, peerKey: number, blocks: number): number {
    const name = `${range.volumeKey}:${range.chunkIndex}:${peerKey}`;
    const known = this.differences.get(name);
    const before = known?.blocks ?? 0;
    if (blocks === 0) this.differences.delete(name);
    else if (known !== undefined) known.blocks = blocks;
    else if (this.differences.size < DIFFERENCES_MAX)
      this.differences.set(name, { range, peerKey, blocks });
    if (blocks > before) this.compareErrors += blocks - before;
    else this.fixedCompareErrors += before - blocks;
    return blocks - before;
  }

  /** Begins at zero again; what is not right yet stays counted. */
  reset(): void {
    this.scannedBytes = 0;
    this.comparedBytes = 0;
    this.passes = 0;
    this.readErrors = this.badBlocks;
    this.fixedReadErrors = 0;
    this.compareErrors = 0;
    for (const { blocks } of this.differences.values()) this.compareErrors += blocks;
    this.fixedCompareErrors = 0;
  }

  asCounts(): ScanCounts {
    const { scannedBytes, passes, readErrors, fixedReadErrors } = this;
    const { comparedBytes, compareErrors, fixedCompareErrors } = this;
    return {
      ...{ scannedBytes, passes, readErrors, fixedReadErrors },
      ...{ comparedBytes, compareErrors, fixedCompareErrors },
    };
  }
}
