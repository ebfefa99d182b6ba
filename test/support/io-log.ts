// Every single request of a measured fio run, from the log that fio keeps. It owns the load and what can be said of a span
// of time; it must never know what happened to the cluster then.

import { createReadStream, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';

const MS_PER_S = 1000;
const NS_PER_MS = 1e6;
const FILL_MS = 600_000;
/** What nobody answers for so long ends the measurement. */
const HUNG_MS = 120_000;

export interface Load {
  /** fio's words of what is read and written, and in which sizes. */
  readonly mix: readonly string[];
  readonly sizeMib: number;
  readonly depth: number;
  /** Requests a second at most; 0: as many as possible. */
  readonly iops: number;
}

interface Io {
  /** When it was answered, on the wall clock. */
  readonly atMs: number;
  readonly tookMs: number;
  readonly bytes: number;
}

/** fio's words of the way to a volume: its NBD socket. */
export const overNbd = (socket: string): readonly string[] => [
  '--ioengine=nbd',
  `--uri=nbd+unix:///?socket=${socket}`,
];

/** Writes the whole range once. */
export async function fill(socket: string, sizeMib: number): Promise<void> {
  await execa(
    'fio',
    [
      ...['--name=fill', ...overNbd(socket), '--rw=write', '--bs=1m', '--iodepth=8'],
      ...[`--size=${sizeMib}m`, '--thread=1', '--end_fsync=1'],
    ],
    { stdin: 'ignore', timeout: FILL_MS, killSignal: 'SIGKILL' },
  );
}

const begin = (way: readonly string[], folder: string, { mix, sizeMib, depth, iops }: Load) =>
  execa(
    'fio',
    [
      ...['--name=load', ...way, ...mix, `--iodepth=${depth}`],
      ...[`--size=${sizeMib}m`, '--norandommap=1', '--thread=1', '--time_based=1'],
      ...['--runtime=86400', '--eta=never', `--aux-path=${folder}`],
      ...['--write_lat_log=load', '--log_unix_epoch=1', '--disable_slat=1', '--disable_clat=1'],
      ...(iops === 0 ? [] : [`--rate_iops=${iops}`]),
    ],
    { stdin: 'ignore', all: true, reject: false, cwd: folder },
  );

/** A load that runs until it is ended. */
export class MeasuredLoad {
  readonly #process: ReturnType<typeof begin>;
  readonly #folder: string;

  /**
   * @param way - fio's words of the way to the volume
   * @param folder - an existing one, where fio keeps its log; of no other load
   */
  constructor(way: readonly string[], folder: string, load: Load) {
    this.#folder = folder;
    this.#process = begin(way, folder, load);
  }

  /** @throws Error when fio met an error, or a request was never answered */
  async end(): Promise<IoLog> {
    this.#process.kill('SIGINT');
    const timer = setTimeout(() => {
      this.#process.kill('SIGKILL');
    }, HUNG_MS);
    const { all, signal } = await this.#process;
    clearTimeout(timer);
    if (signal === 'SIGKILL') throw new Error(`requests were not answered in ${HUNG_MS / 1000} s`);
    if (/err=\s*[1-9]|fio: io_u error/.test(all) || !all.includes('err= 0'))
      throw new Error(`fio: ${all.slice(-2000)}`);
    const log = join(this.#folder, 'load_lat.1.log');
    const ios: Io[] = [];
    for await (const line of createInterface(createReadStream(log))) {
      const [at = NaN, tookNs = NaN, , bytes = NaN] = line.split(',').map(Number);
      ios.push({ atMs: at, tookMs: tookNs / NS_PER_MS, bytes });
    }
    rmSync(log);
    return new IoLog(ios);
  }
}

export class IoLog {
  readonly #ios: readonly Io[];

  constructor(ios: readonly Io[]) {
    this.#ios = ios;
  }

  #within(fromMs: number, toMs: number): readonly Io[] {
    return this.#ios.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  }

  count(fromMs: number, toMs: number): number {
    return this.#within(fromMs, toMs).length;
  }

  /** Megabytes (10^6) a second. */
  mbPerS(fromMs: number, toMs: number): number {
    const bytes = this.#within(fromMs, toMs).reduce((sum, io) => sum + io.bytes, 0);
    return bytes / 1e6 / ((toMs - fromMs) / MS_PER_S);
  }

  /** The longest that a request took that was answered in this time. */
  slowestMs(fromMs: number, toMs: number): number {
    return this.#within(fromMs, toMs).reduce((most, { tookMs }) => Math.max(most, tookMs), 0);
  }

  /** What 99 % of the requests took at most that were answered in this time. */
  p99Ms(fromMs: number, toMs: number): number {
    const took = this.#within(fromMs, toMs)
      .map(({ tookMs }) => tookMs)
      .sort((one, other) => one - other);
    return took[Math.floor(took.length * 0.99)] ?? NaN;
  }

  /** The longest time in which nothing at all was answered. */
  gapMs(fromMs: number, toMs: number): number {
    let last = fromMs;
    let longest = 0;
    for (const { atMs } of this.#within(fromMs, toMs)) {
      longest = Math.max(longest, atMs - last);
      last = atMs;
    }
    return Math.max(longest, toMs - last);
  }

  /** From `fromMs` on, how long until some seconds together carry so much; null: never. */
  reachedAfterMs(fromMs: number, toMs: number, mbPerS: number, spanMs: number): number | null {
    for (let at = fromMs; at + spanMs <= toMs; at += 250)
      if (this.mbPerS(at, at + spanMs) >= mbPerS) return at - fromMs;
    return null;
  }
}
