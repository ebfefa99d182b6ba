// The table of fio jobs of the benchmark, and nothing else: a job is added here and is then known
// to the argument parser, the runner, the report and the help text. Jobs never name a system under
// test or its address.

/**
 * One workload. `fio` holds only what makes the workload; engine, size and run time are added by
 * the runner.
 */
export interface Job {
  readonly name: string;
  readonly title: string;
  readonly fio: readonly string[];
  /** Whether the job writes, so that durability matters to its figures. */
  readonly writes: boolean;
  /** Whether each write is followed by a flush; such a job only writes, at depth 1. */
  readonly flushes: boolean;
}

const RANDOM_4K_DEPTHS = [1, 32, 128] as const;

function random4k(direction: 'randwrite' | 'randread', depth: number): Job {
  return {
    name: `${direction}-4k-qd${depth}`,
    title: `4k random ${direction === 'randwrite' ? 'write' : 'read'}, depth ${depth}`,
    fio: [`--rw=${direction}`, '--bs=4k', `--iodepth=${depth}`],
    writes: direction === 'randwrite',
    flushes: false,
  };
}

export const JOBS: readonly Job[] = [
  ...RANDOM_4K_DEPTHS.map((depth) => random4k('randwrite', depth)),
  ...RANDOM_4K_DEPTHS.map((depth) => random4k('randread', depth)),
  {
    name: 'randrw-4k-w70-qd8',
    title: '4k random, 70 % writes, depth 8',
    fio: ['--rw=randrw', '--rwmixwrite=70', '--bs=4k', '--iodepth=8'],
    writes: true,
    flushes: false,
  },
  {
    name: 'randrw-64k-r45-qd16',
    title: '64k random, 45 % reads and 55 % writes, depth 16',
    fio: ['--rw=randrw', '--rwmixread=45', '--bs=64k', '--iodepth=16'],
    writes: true,
    flushes: false,
  },
  {
    name: 'randwrite-4k-fsync-qd1',
    title: '4k random write, each followed by a flush, depth 1',
    // The nbd and rbd engines flush on fsync only; over a block protocol fsync and fdatasync are
    // the same flush.
    fio: ['--rw=randwrite', '--bs=4k', '--iodepth=1', '--fsync=1'],
    writes: true,
    flushes: true,
  },
  // Large sequential jobs come last: they leave large folios in the page cache, which make later 4k
  // writes dearer.
  {
    name: 'seqread-1m-qd8',
    title: '1M sequential read, depth 8',
    fio: ['--rw=read', '--bs=1m', '--iodepth=8'],
    writes: false,
    flushes: false,
  },
  {
    name: 'seqwrite-1m-qd8',
    title: '1M sequential write, depth 8',
    fio: ['--rw=write', '--bs=1m', '--iodepth=8'],
    writes: true,
    flushes: false,
  },
];

/** The job of that name, or undefined. */
export function jobNamed(name: string): Job | undefined {
  return JOBS.find((job) => job.name === name);
}
