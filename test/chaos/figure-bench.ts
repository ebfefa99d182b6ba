// What every figure of `--figures` stands on: its cluster, its load, its rows, and spans of time that figures share. It never
// knows what goes wrong.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { until } from '../support/until.js';
import { MeasuredLoad, fill, overNbd } from '../support/io-log.js';
import type { IoLog, Load } from '../support/io-log.js';
import type { Rig } from './rig.js';

export const FIGURES = [
  'sds-killed',
  'rebuild',
  'mdm-killed',
  'mdm-away',
  'return',
  'slow-device',
  'stuck-device',
  'neighbour',
] as const;
export type FigureName = (typeof FIGURES)[number];

export interface FigureRow {
  readonly figure: FigureName;
  readonly what: string;
  readonly value: string;
}

export interface FigureOptions {
  readonly dir: string;
  readonly isolated: boolean;
  /** How long all MDMs are down, and a server is away. */
  readonly minutes: number;
  readonly say: (text: string) => void;
  readonly broken: AbortSignal;
}

export const WARM_MS = 4000;
export const BASELINE_MS = 12_000;
export const AFTER_MS = 20_000;
/** A stall belongs to the failure when it ends this soon after it. */
export const FAILOVER_MS = 8000;
/** Whatever comes to an end does so within this. */
export const WHOLE_MS = 600_000;

/** 45 % reads of 64 KiB, 55 % writes of 32 KiB. */
const MIX = { mix: ['--rw=randrw', '--rwmixread=45', '--bs=64k,32k'] };

/** As much as the servers can do. */
export const FULL: Load = { ...MIX, sizeMib: 512, depth: 16, iops: 0 };
/** So that nothing but the failure can hold it up. */
export const STEADY: Load = { ...MIX, sizeMib: 512, depth: 8, iops: 300 };
/** So little that the disks of four servers keep up with it. */
export const CALM: Load = { ...MIX, sizeMib: 128, depth: 4, iops: 80 };

export const ms = (value: number): string => `${Math.round(value)} ms`;
export const mb = (value: number): string => `${value.toFixed(1)} MB/s`;
export const percent = (part: number, whole: number): string =>
  `${((100 * part) / whole).toFixed(0)} %`;

export class Bench {
  readonly rig: Rig;
  readonly options: FigureOptions;
  readonly rows: FigureRow[] = [];
  readonly #figure: FigureName;
  readonly #folder: string;

  constructor(rig: Rig, options: FigureOptions, figure: FigureName, folder: string) {
    this.rig = rig;
    this.options = options;
    this.#figure = figure;
    this.#folder = folder;
  }

  row(what: string, value: string): void {
    this.rows.push({ figure: this.#figure, what, value });
    this.options.say(`${this.#figure}: ${what}: ${value}`);
  }

  async wait(forMs: number): Promise<void> {
    await pause(forMs, undefined, { signal: this.options.broken });
  }

  async whole(): Promise<void> {
    await until(
      'all copies are in sync',
      async () => {
        this.options.broken.throwIfAborted();
        return await this.rig.isWhole();
      },
      WHOLE_MS,
    );
  }

  /** One for the log of a load beside others. */
  folder(name: string): string {
    const folder = join(this.#folder, name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** A volume with content, and a load on it. */
  async load(load: Load): Promise<MeasuredLoad> {
    const [socket = ''] = await this.rig.addVolume('figures', 8, ['sdc']);
    this.options.say(`writing ${load.sizeMib} MiB`);
    await fill(socket, load.sizeMib);
    return new MeasuredLoad(overNbd(socket), this.#folder, load);
  }
}

export function sayStall(bench: Bench, log: IoLog, fromMs: number, toMs: number): void {
  const soon = Math.min(toMs, fromMs + FAILOVER_MS);
  bench.row('longest stall of a request', ms(log.slowestMs(fromMs, soon)));
  bench.row('longest time in which nothing was answered', ms(log.gapMs(fromMs, soon)));
}

export function sayEffect(
  bench: Bench,
  log: IoLog,
  baselineMs: number,
  fromMs: number,
  toMs: number,
): void {
  const [before, meanwhile] = [log.slowestMs(baselineMs, fromMs), log.slowestMs(fromMs, toMs)];
  bench.row('slowest request before; meanwhile', `${ms(before)}; ${ms(meanwhile)}`);
  const share = percent(log.mbPerS(fromMs, toMs), log.mbPerS(baselineMs, fromMs));
  bench.row('throughput meanwhile', `${share} of before, ${log.count(fromMs, toMs)} requests`);
  bench.row('I/O errors', '0');
}
