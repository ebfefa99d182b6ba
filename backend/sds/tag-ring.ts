// Numbers of what was forwarded on a link, with one value each, for as long as they matter. It owns the arithmetic of
// u32 numbers that wrap. It must never know what the values mean.

import { assert } from '../core/assert.js';

const FIRST_CAPACITY = 256;

/** How far `tag` lies behind `reference`, negative when before; for numbers less than 2^31 apart. */
export function tagDistance(tag: number, reference: number): number {
  return (tag - reference) | 0;
}

/** The number behind a number. */
export function tagAfter(tag: number): number {
  return (tag + 1) >>> 0;
}

/** Values of consecutive tags. Grows by doubling; the owner bounds how many are open at a time. */
export class TagRing {
  /** Last tag that was dropped; the next is the oldest kept. */
  dropped = 0;
  /** Last tag that was added. */
  last = 0;
  private values = new Float64Array(FIRST_CAPACITY);
  private others = new Float64Array(FIRST_CAPACITY);
  private mask = FIRST_CAPACITY - 1;

  get length(): number {
    return tagDistance(this.last, this.dropped);
  }

  /** Adds the next tag with two values and returns the tag. */
  add(value: number, other: number): number {
    if (this.length > this.mask) this.grow();
    this.last = tagAfter(this.last);
    this.values[this.last & this.mask] = value;
    this.others[this.last & this.mask] = other;
    return this.last;
  }

  /** Whether the tag is kept. */
  has(tag: number): boolean {
    return tagDistance(tag, this.dropped) > 0 && tagDistance(tag, this.last) <= 0;
  }

  value(tag: number): number {
    assert(this.has(tag), 'the tag is kept');
    return this.values[tag & this.mask] ?? 0;
  }

  other(tag: number): number {
    assert(this.has(tag), 'the tag is kept');
    return this.others[tag & this.mask] ?? 0;
  }

  /** Drops everything up to and including the tag. */
  drop(tag: number): void {
    assert(tagDistance(tag, this.last) <= 0, 'only what was added is dropped');
    if (tagDistance(tag, this.dropped) > 0) this.dropped = tag;
  }

  /** Starts again from tag 1. */
  reset(): void {
    this.dropped = 0;
    this.last = 0;
  }

  private grow(): void {
    const capacity = (this.mask + 1) * 2;
    const values = new Float64Array(capacity);
    const others = new Float64Array(capacity);
    for (let tag = tagAfter(this.dropped); this.has(tag); tag = tagAfter(tag)) {
      values[tag & (capacity - 1)] = this.values[tag & this.mask] ?? 0;
      others[tag & (capacity - 1)] = this.others[tag & this.mask] ?? 0;
    }
    this.values = values;
    this.others = others;
    this.mask = capacity - 1;
  }
}
