// How long the operations of a disk take: totals by kind, for whoever compares disks. It owns the sums; it must never judge
// them, nor ask for the time.

export const DISK_KIND = { read: 0, write: 1, flush: 2 } as const;
export type DiskKind = (typeof DISK_KIND)[keyof typeof DISK_KIND];

/** Totals since the meter was made. The times of operations that run are counted up to the moment of the question. */
export interface DiskTimes {
  readonly readOps: number;
  readonly readMicros: number;
  readonly writeOps: number;
  readonly writeMicros: number;
  readonly flushOps: number;
  readonly flushMicros: number;
}

export const NO_DISK_TIMES: DiskTimes = {
  ...{ readOps: 0, readMicros: 0, writeOps: 0, writeMicros: 0, flushOps: 0, flushMicros: 0 },
};

/** All times are whole microseconds of one clock of the caller. */
export class DiskMeter {
  private readonly ops = [0, 0, 0];
  private readonly micros = [0, 0, 0];
  private readonly running = [0, 0, 0];
  /** Sum of the times at which those that run began. */
  private readonly begins = [0, 0, 0];

  begin(kind: DiskKind, nowUs: number): void {
    this.running[kind] = (this.running[kind] ?? 0) + 1;
    this.begins[kind] = (this.begins[kind] ?? 0) + nowUs;
  }

  /** @param beganUs - what `begin` was given */
  end(kind: DiskKind, beganUs: number, nowUs: number): void {
    this.running[kind] = (this.running[kind] ?? 0) - 1;
    this.begins[kind] = (this.begins[kind] ?? 0) - beganUs;
    this.add(kind, nowUs - beganUs);
  }

  /** An operation that was done at once. */
  add(kind: DiskKind, tookUs: number): void {
    this.ops[kind] = (this.ops[kind] ?? 0) + 1;
    this.micros[kind] = (this.micros[kind] ?? 0) + tookUs;
  }

  times(nowUs: number): DiskTimes {
    const ops = (kind: DiskKind): number => this.ops[kind] ?? 0;
    const micros = (kind: DiskKind): number =>
      (this.micros[kind] ?? 0) + (this.running[kind] ?? 0) * nowUs - (this.begins[kind] ?? 0);
    return {
      readOps: ops(DISK_KIND.read),
      readMicros: micros(DISK_KIND.read),
      writeOps: ops(DISK_KIND.write),
      writeMicros: micros(DISK_KIND.write),
      flushOps: ops(DISK_KIND.flush),
      flushMicros: micros(DISK_KIND.flush),
    };
  }
}
