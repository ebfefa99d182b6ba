// What an MDM costs: its time, by second of virtual time, its frames and its commits. It must never decide anything.

import { MSG } from '../../protocol/generated/constants.js';

interface Traffic {
  frames: number;
  bytes: number;
}

/** Totals since the meters were made, to be subtracted from one another. */
export interface Totals {
  readonly cpuMs: number;
  readonly inFrames: number;
  readonly inBytes: number;
  readonly outFrames: number;
  readonly outBytes: number;
  readonly mapFrames: number;
  readonly mapBytes: number;
  readonly commits: number;
  readonly commitBytes: number;
}

const MICROS_PER_SECOND = 1_000_000;

export class Meters {
  private cpuUs = 0;
  private readonly bySecond = new Map<number, number>();
  private longestUs = 0;
  private readonly incoming = new Map<number, Traffic>();
  private readonly outgoing = new Map<number, Traffic>();
  private commits = 0;
  private commitBytes = 0;

  spent(nowUs: number, usedUs: number): void {
    this.cpuUs += usedUs;
    this.longestUs = Math.max(this.longestUs, usedUs);
    const second = Math.floor(nowUs / MICROS_PER_SECOND);
    this.bySecond.set(second, (this.bySecond.get(second) ?? 0) + usedUs);
  }

  received(code: number, bytes: number): void {
    add(this.incoming, code, bytes);
  }

  sent(code: number, bytes: number): void {
    add(this.outgoing, code, bytes);
  }

  committed(bytes: number): void {
    this.commits += 1;
    this.commitBytes += bytes;
  }

  /** The longest turn since the last call. */
  takeLongestMs(): number {
    const longest = this.longestUs / 1000;
    this.longestUs = 0;
    return longest;
  }

  totals(): Totals {
    const incoming = sum(this.incoming);
    const outgoing = sum(this.outgoing);
    const map = this.outgoing.get(MSG.MAP_UPDATE) ?? { frames: 0, bytes: 0 };
    return {
      cpuMs: this.cpuUs / 1000,
      ...{ inFrames: incoming.frames, inBytes: incoming.bytes },
      ...{ outFrames: outgoing.frames, outBytes: outgoing.bytes },
      ...{ mapFrames: map.frames, mapBytes: map.bytes },
      ...{ commits: this.commits, commitBytes: this.commitBytes },
    };
  }

  /** The most that one second of virtual time took, from a moment on: 1 is a whole core. */
  busiestCore(fromUs: number): number {
    const first = Math.floor(fromUs / MICROS_PER_SECOND);
    let most = 0;
    for (const [second, usedUs] of this.bySecond)
      if (second >= first) most = Math.max(most, usedUs);
    return most / MICROS_PER_SECOND;
  }
}

function add(traffic: Map<number, Traffic>, code: number, bytes: number): void {
  const known = traffic.get(code);
  if (known === undefined) traffic.set(code, { frames: 1, bytes });
  else {
    known.frames += 1;
    known.bytes += bytes;
  }
}

function sum(traffic: ReadonlyMap<number, Traffic>): Traffic {
  const all = { frames: 0, bytes: 0 };
  for (const { frames, bytes } of traffic.values()) {
    all.frames += frames;
    all.bytes += bytes;
  }
  return all;
}

/** What happened between two moments. */
export function between(before: Totals, after: Totals): Totals {
  return {
    cpuMs: after.cpuMs - before.cpuMs,
    inFrames: after.inFrames - before.inFrames,
    inBytes: after.inBytes - before.inBytes,
    outFrames: after.outFrames - before.outFrames,
    outBytes: after.outBytes - before.outBytes,
    mapFrames: after.mapFrames - before.mapFrames,
    mapBytes: after.mapBytes - before.mapBytes,
    commits: after.commits - before.commits,
    commitBytes: after.commitBytes - before.commitBytes,
  };
}
