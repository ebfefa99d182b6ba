// Owns the figure of first writes: what a write costs to a place of which a snapshot has the content, beside the same write to a
// volume that never had one. Runs alternate, and write the same places in the same order.
import { MIB } from '../../backend/core/units.js';
import { cpuUsed } from './accounting.js';
import { fill, nbdEngine, runOnce, type Engine } from './fio.js';
import type { Job } from './jobs.js';
import { median } from './spread.js';
import type { BenchVolume, SnapshotCluster, SnapshotSettings } from './snapshot-cluster.js';

const DEPTH = 32;
const VOLUME_GIB = 8;

interface Pattern {
  readonly title: string;
  readonly job: Job;
  readonly sizeBytes: number;
}

const pattern = (name: string, title: string, words: readonly string[], mib: number): Pattern => ({
  title,
  job: {
    name,
    title,
    fio: ['--rw=randwrite', '--bs=4k', `--iodepth=${DEPTH}`, ...words],
    ...{ writes: true, flushes: false },
  },
  sizeBytes: mib * MIB,
});

/** Layers take space in units of 64 KiB. */
const PATTERNS: readonly Pattern[] = [
  pattern('blocks', 'every block of 96 MiB', [], 96),
  pattern(
    'units',
    'one block of every 64 KiB of 1 GiB, in order',
    ['--rw=write:60k', '--io_size=64m'],
    1024,
  ),
];

interface Figures {
  readonly iops: number;
  readonly cpuUs: number;
  readonly p99Us: number;
}

interface Pair {
  readonly first: Figures;
  /** The same places again, in the layer that the first writes went to. */
  readonly again: Figures;
  readonly plain: Figures;
}

class FirstWrites {
  readonly #cluster: SnapshotCluster;
  readonly #settings: SnapshotSettings;
  readonly #plain: Engine;
  readonly #source: Engine;
  readonly #sourceId: string;

  constructor(
    cluster: SnapshotCluster,
    settings: SnapshotSettings,
    plain: BenchVolume,
    source: BenchVolume,
  ) {
    this.#cluster = cluster;
    this.#settings = settings;
    this.#plain = nbdEngine(plain.socket);
    this.#source = nbdEngine(source.socket);
    this.#sourceId = source.id;
  }

  async #run({ job, sizeBytes }: Pattern, engine: Engine): Promise<Figures> {
    const before = this.#cluster.sample();
    const { ios, iops, p99Us } = await runOnce(job, engine, sizeBytes, this.#settings.signal);
    const { systemUs } = cpuUsed(before, this.#cluster.sample());
    return { iops, p99Us, cpuUs: systemUs / ios };
  }

  async #pair(of: Pattern, isPlainFirst: boolean): Promise<Pair> {
    const plainFirst = isPlainFirst ? await this.#run(of, this.#plain) : null;
    const gateway = await this.#cluster.gateway();
    await gateway.snapshotVolumes([this.#sourceId]);
    const first = await this.#run(of, this.#source);
    const again = await this.#run(of, this.#source);
    return { first, again, plain: plainFirst ?? (await this.#run(of, this.#plain)) };
  }

  async measure(of: Pattern): Promise<void> {
    const { runs, signal, say, row } = this.#settings;
    for (const engine of [this.#plain, this.#source]) {
      await fill(engine, of.sizeBytes, signal);
      await this.#run(of, engine);
    }
    const pairs: Pair[] = [];
    for (let index = 0; index < runs; index++) {
      const pair = await this.#pair(of, index % 2 === 0);
      pairs.push(pair);
      const { first, plain } = pair;
      say(
        `${of.title}, ${index + 1} of ${runs}: first ${first.iops.toFixed(0)} IOPS, ${first.cpuUs.toFixed(0)} us; plain ${plain.iops.toFixed(0)}, ${plain.cpuUs.toFixed(0)} us`,
      );
    }
    for (const [name, kind] of [
      ['first write after a snapshot', 'first'],
      ['the same places again', 'again'],
      ['overwrite without a snapshot', 'plain'],
    ] as const)
      row(`${of.title}: ${name}`, figuresInWords(pairs.map((pair) => pair[kind])));
    for (const [name, kind] of [
      ['first write, of an overwrite', 'first'],
      ['again, of an overwrite', 'again'],
    ] as const) {
      const ratio = (key: keyof Figures): string =>
        `${(100 * median(pairs.map((pair) => pair[kind][key] / pair.plain[key]))).toFixed(0)} %`;
      row(
        `${of.title}: ${name}, median of ${pairs.length} pairs`,
        `${ratio('cpuUs')} of the CPU, ${ratio('iops')} of the IOPS, ${ratio('p99Us')} of the p99`,
      );
    }
  }
}

function figuresInWords(runs: readonly Figures[]): string {
  const of = (key: keyof Figures): string => median(runs.map((run) => run[key])).toFixed(0);
  return `${of('iops')} IOPS, ${of('cpuUs')} us of CPU each, p99 ${of('p99Us')} us`;
}

export async function measureFirstWrites(
  cluster: SnapshotCluster,
  settings: SnapshotSettings,
): Promise<void> {
  for (const [index, one] of PATTERNS.entries()) {
    const [plain, source] = await cluster.addVolumes(2, VOLUME_GIB, `first${index}-`);
    if (plain === undefined || source === undefined) throw new Error('no volumes were made');
    await new FirstWrites(cluster, settings, plain, source).measure(one);
  }
  cluster.requireUnbroken();
}
