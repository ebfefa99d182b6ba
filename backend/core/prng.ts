// Deterministic pseudo-random numbers from a seed: integers only, so that every machine computes the same. It must
// never be used for secrets, nonces or keys.

import { assert } from './assert.js';

const TWO_32 = 0x100000000;

/** sfc32 (Chris Doty-Humphrey): passes PractRand, 128 bits of state, four additions and shifts per number. */
export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private counter: number;

  /**
   * @param seed - 0 .. 2^53-1
   * @param stream - separates generators that share a seed; u32
   */
  constructor(seed: number, stream = 0) {
    assert(Number.isSafeInteger(seed) && seed >= 0, 'seed is an integer from 0 to 2^53-1');
    this.a = seed | 0;
    this.b = Math.floor(seed / TWO_32) | 0;
    this.c = stream | 0;
    this.counter = 1;
    for (let round = 0; round < 15; round++) this.u32();
  }

  /** 0 .. 2^32-1. */
  u32(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + sum;
    this.c |= 0;
    return sum >>> 0;
  }

  /** 0 .. bound-1, every value equally likely; `bound` 1 .. 2^32. */
  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= TWO_32, 'bound is from 1 to 2^32');
    const fair = TWO_32 - (TWO_32 % bound);
    for (;;) {
      const value = this.u32();
      if (value < fair) return value % bound;
    }
  }

  /** min .. max, both included, at most 2^32 values apart. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True `numerator` times in `denominator`. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }

  /** One item of a list that is not empty. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, 'there is something to pick');
    return items[this.below(items.length)] as T;
  }

  /** Puts a list in random order, in place. */
  shuffle(items: unknown[]): void {
    for (let last = items.length - 1; last > 0; last--) {
      const other = this.below(last + 1);
      const kept = items[last];
      items[last] = items[other];
      items[other] = kept;
    }
  }

  /** A generator whose numbers do not depend on how many are drawn from this one afterwards. */
  fork(): Prng {
    return new Prng(this.u32() + this.below(1 << 21) * TWO_32, this.u32());
  }
}
