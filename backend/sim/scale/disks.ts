// Disks that copy: each has a bandwidth that all copies which it takes part in share, reading or writing. It owns how long a
// copy takes; it must never know what is copied.

/** Virtual time. */
export interface Timeline {
  readonly nowUs: number;
  at(timeUs: number, run: (nowUs: number) => void): void;
}

interface Copy {
  readonly from: number;
  readonly to: number;
  readonly done: (nowUs: number) => void;
  leftBytes: number;
  /** Since when it has run at this rate. */
  sinceUs: number;
  bytesPerUs: number;
  /** Raised whenever the rate changes: an end that was foreseen at another rate does not count. */
  turn: number;
}

const NO_COPIES: ReadonlySet<Copy> = new Set();

export class Disks {
  private readonly world: Timeline;
  private readonly bytesPerUs: number;
  private readonly of = new Map<number, Set<Copy>>();

  /** @param bytesPerSecond - of each disk, reads and writes together */
  constructor(world: Timeline, bytesPerSecond: number) {
    this.world = world;
    this.bytesPerUs = bytesPerSecond / 1e6;
  }

  /** Copies under way. */
  get size(): number {
    let twice = 0;
    for (const copies of this.of.values()) twice += copies.size;
    return twice / 2;
  }

  /** @param done - called when all of it is written; never when one of the two disks is gone by then */
  copy(from: number, to: number, bytes: number, done: (nowUs: number) => void): void {
    const { nowUs } = this.world;
    const copy: Copy = {
      ...{ from, to, done, leftBytes: bytes, sinceUs: nowUs, bytesPerUs: 0, turn: 0 },
    };
    for (const disk of [from, to]) {
      const copies = this.of.get(disk) ?? new Set();
      copies.add(copy);
      this.of.set(disk, copies);
    }
    this.spread(nowUs, from, to);
  }

  /** A disk is gone, and what it was copying. */
  lose(disk: number): void {
    for (const copy of [...(this.of.get(disk) ?? NO_COPIES)]) this.remove(this.world.nowUs, copy);
  }

  private remove(nowUs: number, copy: Copy): void {
    copy.turn += 1;
    this.of.get(copy.from)?.delete(copy);
    this.of.get(copy.to)?.delete(copy);
    this.spread(nowUs, copy.from, copy.to);
  }

  /** The copies of two disks run at other rates from now on. */
  private spread(nowUs: number, ...disks: readonly number[]): void {
    for (const disk of disks)
      for (const copy of this.of.get(disk) ?? NO_COPIES) this.adjust(nowUs, copy);
  }

  private adjust(nowUs: number, copy: Copy): void {
    const share = (disk: number): number => this.bytesPerUs / (this.of.get(disk)?.size ?? 1);
    const rate = Math.min(share(copy.from), share(copy.to));
    if (rate === copy.bytesPerUs) return;
    copy.leftBytes = Math.max(0, copy.leftBytes - (nowUs - copy.sinceUs) * copy.bytesPerUs);
    copy.sinceUs = nowUs;
    copy.bytesPerUs = rate;
    const turn = ++copy.turn;
    this.world.at(nowUs + Math.ceil(copy.leftBytes / rate), (at) => {
      if (copy.turn !== turn) return;
      this.remove(at, copy);
      copy.done(at);
    });
  }
}
