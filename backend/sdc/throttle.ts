// The limits of one mapping (QoS): how many requests and bytes a second its user may begin. It owns when the next request may
// begin; it must never know a request.
//
// Each limit keeps the moment at which everything begun so far would be through at exactly its rate. A request may begin as
// soon as that moment is no further ahead than the burst. So over any second a limit is exceeded by the burst and one request
// at the most, and a timer that fires late by less than the burst costs nothing.

import type { Micros } from '../core/ports.js';

/** 4 % of a second: limits are to hold to 5 % over one. */
const BURST_US = 40_000;
const SECOND_US = 1_000_000;
const BYTES_PER_KB = 1024;

export class Throttle {
  /** Of one request and of one byte; 0: no limit. */
  private requestUs = 0;
  private byteUs = 0;
  private requestsThroughUs: Micros = 0;
  private bytesThroughUs: Micros = 0;

  get isLimited(): boolean {
    return this.requestUs > 0 || this.byteUs > 0;
  }

  /**
   * What was begun before counts at the rate that it was begun at.
   *
   * @param iops - requests a second, 0: no limit
   * @param kbps - KiB a second, 0: no limit
   * @returns whether that is another limit than before
   */
  limit(iops: number, kbps: number): boolean {
    const requestUs = iops === 0 ? 0 : SECOND_US / iops;
    const byteUs = kbps === 0 ? 0 : SECOND_US / (kbps * BYTES_PER_KB);
    const changed = requestUs !== this.requestUs || byteUs !== this.byteUs;
    this.requestUs = requestUs;
    this.byteUs = byteUs;
    return changed;
  }

  /** From when on the next request may begin, in whole microseconds: no clock shows a fraction (seed 20157). */
  dueUs(): Micros {
    const requestsUs = this.requestUs === 0 ? -Infinity : this.requestsThroughUs - BURST_US;
    const bytesUs = this.byteUs === 0 ? -Infinity : this.bytesThroughUs - BURST_US;
    return Math.ceil(Math.max(requestsUs, bytesUs));
  }

  /** A request begins that moves so many bytes. */
  take(nowUs: Micros, bytes: number): void {
    this.requestsThroughUs = Math.max(nowUs, this.requestsThroughUs) + this.requestUs;
    this.bytesThroughUs = Math.max(nowUs, this.bytesThroughUs) + bytes * this.byteUs;
  }
}
