// A small steady user of one pool: reads back what it wrote a round ago, writes the next block, again and again at a low
// rate. It owns the verdict on the pool, with its hysteresis; it must never have more than one request under way, so that it
// is no load itself.

import type { Micros } from '../core/ports.js';
import { BLOCK_BYTES, fillBlock, readBlock } from './content.js';

/** How a pool treats its sentinel. `wrong`: something was read that nobody wrote; no time heals that. */
export type Verdict = 'well' | 'starved' | 'wrong';

export interface ProbeRules {
  /** From one read and write to the next. */
  readonly intervalUs: Micros;
  /** A request that takes longer is starved, answered or not. */
  readonly boundUs: Micros;
  /** So long every request has to take less than half of the bound until it is well again. */
  readonly clearUs: Micros;
}

/** The volume, as far as a probe needs it: one request at a time, answered by `answered`. */
export interface ProbeVolume {
  read(offsetBytes: number, lengthBytes: number): void;
  write(offsetBytes: number, bytes: Uint8Array): void;
  judged(verdict: Verdict, why: string): void;
}

/** So far apart that each block lies in a chunk of its own, and so on other devices. */
const STRIDE_BYTES = 1_048_576;
/** A round of blocks; each takes one chunk of each copy. */
export const POSITIONS = 64;
const MS = 1000;

export class Probe {
  readonly #rules: ProbeRules;
  readonly #volume: ProbeVolume;
  readonly #block = new Uint8Array(BLOCK_BYTES);
  /** Number of the last write to each position; null: unknown, it may hold more than one thing. */
  readonly #held: (number | null)[] = Array.from({ length: POSITIONS }, () => null);
  #verdict: Verdict;
  #position = 0;
  #sequence: number;
  #doing: 'nothing' | 'reading' | 'writing' = 'nothing';
  #sentUs: Micros = 0;
  #dueUs: Micros;
  /** The last moment at which a request had taken half of the bound, or failed. */
  #troubleUs: Micros;

  /**
   * @param verdict - of an earlier life
   * @param sequence - higher than any that an earlier life wrote
   */
  constructor(
    nowUs: Micros,
    rules: ProbeRules,
    volume: ProbeVolume,
    verdict: Verdict,
    sequence: number,
  ) {
    this.#rules = rules;
    this.#volume = volume;
    this.#verdict = verdict;
    this.#sequence = sequence;
    this.#dueUs = nowUs;
    this.#troubleUs = nowUs;
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  tick(nowUs: Micros): void {
    if (this.#doing !== 'nothing') this.#watch(nowUs);
    else if (nowUs >= this.#dueUs) this.#begin(nowUs);
  }

  nextDeadlineUs(): Micros {
    if (this.#doing === 'nothing') return this.#dueUs;
    // Once it is starved, and known to be, an answer is the next that can happen.
    if (this.#verdict !== 'well') return Infinity;
    return this.#sentUs + this.#rules.boundUs;
  }

  /**
   * The request under way was answered.
   *
   * @param bytes - with what was read from `at` on
   */
  answered(nowUs: Micros, ok: boolean, bytes: Uint8Array, at: number): void {
    const wasReading = this.#doing === 'reading';
    const took = nowUs - this.#sentUs;
    this.#doing = 'nothing';
    if (!ok) {
      // Of a write that failed nobody knows what became of it.
      this.#held[this.#position] = null;
      this.#trouble(nowUs, wasReading ? 'a read failed' : 'a write failed');
    } else if (took > this.#rules.boundUs) this.#trouble(nowUs, tookText(took));
    else if (took * 2 > this.#rules.boundUs) this.#troubleUs = nowUs;
    if (ok && wasReading) {
      this.#check(bytes, at);
      this.#write(nowUs);
      return;
    }
    if (ok) this.#held[this.#position] = this.#sequence;
    this.#position = (this.#position + 1) % POSITIONS;
    const { intervalUs } = this.#rules;
    // What was missed is not made up for.
    this.#dueUs = Math.max(this.#dueUs + intervalUs, nowUs);
    this.#heal(nowUs);
  }

  #begin(nowUs: Micros): void {
    this.#doing = 'reading';
    this.#sentUs = nowUs;
    this.#volume.read(this.#position * STRIDE_BYTES, BLOCK_BYTES);
  }

  #write(nowUs: Micros): void {
    this.#doing = 'writing';
    this.#sentUs = nowUs;
    this.#sequence += 1;
    this.#held[this.#position] = null;
    fillBlock(this.#block, 0, this.#position, this.#sequence);
    this.#volume.write(this.#position * STRIDE_BYTES, this.#block);
  }

  #watch(nowUs: Micros): void {
    const waited = nowUs - this.#sentUs;
    if (waited < this.#rules.boundUs) return;
    this.#trouble(nowUs, `no answer for ${Math.floor(waited / MS)} ms`);
  }

  #trouble(nowUs: Micros, why: string): void {
    this.#troubleUs = nowUs;
    if (this.#verdict === 'well') this.#judge('starved', why);
  }

  #heal(nowUs: Micros): void {
    if (this.#verdict !== 'starved' || nowUs - this.#troubleUs < this.#rules.clearUs) return;
    this.#judge('well', `every request took less than half of the bound`);
  }

  #check(bytes: Uint8Array, at: number): void {
    const found = readBlock(bytes, at, this.#position);
    const held = this.#held[this.#position] ?? null;
    if (found !== null && (held === null || found === held)) return;
    const holds = found === null ? 'what nobody wrote' : `write ${found}`;
    const wrote = held === null ? 'whole writes' : `write ${held}`;
    if (this.#verdict !== 'wrong')
      this.#judge('wrong', `block ${this.#position} holds ${holds} instead of ${wrote}`);
  }

  #judge(verdict: Verdict, why: string): void {
    this.#verdict = verdict;
    this.#volume.judged(verdict, why);
  }
}

const tookText = (us: Micros): string => `a request took ${Math.floor(us / MS)} ms`;
