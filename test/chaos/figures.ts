// `--figures`: how long users wait, and how much is copied, when processes of a real cluster end. Each figure has a cluster
// of its own. It measures and never judges: a time is printed, whatever it is; only what hangs is an error.

import { mkdirSync, readFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import axios from 'axios';

import { ADMIN_NAME, gatewayAddress } from '../../backend/deploy/local/layout.js';
import { until } from '../support/until.js';
import { MeasuredLoad, fill } from './io-log.js';
import type { IoLog, Load } from './io-log.js';
import { Rig } from './rig.js';
import { makeThrottle, removeThrottle } from './throttle.js';

export const FIGURES = [
  'sds-killed',
  'mdm-killed',
  'mdm-away',
  'return',
  'slow-device',
  'stuck-device',
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

const WARM_MS = 4000;
const BASELINE_MS = 12_000;
const MISSING_MS = 15_000;
const AFTER_MS = 20_000;
/** A stall belongs to the failure when it ends this soon after it. */
const FAILOVER_MS = 8000;
const SPAN_MS = 2000;
const BACK = 0.95;
const LOOK_MS = 200;
const WHOLE_MS = 600_000;
const API_TRIES = 3;
const API_GAP_MS = 50;
const CHANGED_MIB = 64;
const HELD_MIB = 1024;

/** As much as the servers can do. */
const FULL: Load = { sizeMib: 512, depth: 16, iops: 0 };
/** So that nothing but the failure can hold it up. */
const STEADY: Load = { sizeMib: 512, depth: 8, iops: 300 };

/** So little that the disks of four servers keep up with it. */
const CALM: Load = { sizeMib: 128, depth: 4, iops: 80 };
/** Flushes take so many times as long: some more than ten, because a request takes longer than its flush. */
const SLOWER = 16;
/** Everything has to be as before after this. */
const NORMAL_MS = 30_000;

const ms = (value: number): string => `${Math.round(value)} ms`;
const mb = (value: number): string => `${value.toFixed(1)} MB/s`;
const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(0)} %`;

class Bench {
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

  /** A volume with content, and a load on it. */
  async load(load: Load): Promise<MeasuredLoad> {
    const [socket = ''] = await this.rig.addVolume('figures', 8, ['sdc']);
    this.options.say(`writing ${load.sizeMib} MiB`);
    await fill(socket, load.sizeMib);
    return new MeasuredLoad(socket, this.#folder, load);
  }
}

/** A server with its device dies under full load, stays away, and comes back. */
async function sdsKilled(bench: Bench): Promise<void> {
  const load = await bench.load(FULL);
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS);
  const killedMs = Date.now();
  const { release } = bench.rig.keeper.hold('sds2');
  await bench.wait(MISSING_MS);
  const returnedMs = Date.now();
  release();
  await bench.wait(LOOK_MS);
  await until('the server is back', () => bench.rig.keeper.idOf('sds2-data1') !== null);
  await bench.wait(FAILOVER_MS / 4);
  await bench.whole();
  const wholeMs = Date.now();
  await bench.wait(AFTER_MS);
  const log = await load.end();
  const endMs = Date.now();
  const baseline = log.mbPerS(baselineMs, killedMs);
  const share = (fromMs: number, toMs: number): string =>
    percent(log.mbPerS(fromMs, toMs), baseline);
  bench.row(
    'baseline',
    `${mb(baseline)}, slowest request ${ms(log.slowestMs(baselineMs, killedMs))}`,
  );
  sayStall(bench, log, killedMs, returnedMs);
  bench.row('throughput while it is away, the stall included', share(killedMs, returnedMs));
  bench.row(
    'throughput after the stall, still away',
    share(killedMs + FAILOVER_MS / 2, returnedMs),
  );
  bench.row('its return until all copies are in sync', ms(wholeMs - returnedMs));
  bench.row('throughput meanwhile', share(returnedMs, wholeMs));
  bench.row('longest stall by its return', ms(log.slowestMs(returnedMs, wholeMs)));
  const back = log.reachedAfterMs(returnedMs, endMs, baseline * BACK, SPAN_MS);
  bench.row(
    `${BACK * 100} % of the baseline again after its return`,
    back === null ? 'not reached' : ms(back),
  );
  bench.row('throughput of the 20 s after that', share(wholeMs, wholeMs + AFTER_MS));
}

function sayStall(bench: Bench, log: IoLog, fromMs: number, toMs: number): void {
  const soon = Math.min(toMs, fromMs + FAILOVER_MS);
  bench.row('longest stall of a request', ms(log.slowestMs(fromMs, soon)));
  bench.row('longest time in which nothing was answered', ms(log.gapMs(fromMs, soon)));
}

/** Asks the REST API until it answers a question for which it must ask the MDM. */
class ApiProbe {
  readonly #agent: Agent;
  readonly #base: string;
  readonly #authorization: string;

  private constructor(agent: Agent, base: string, token: string) {
    this.#agent = agent;
    this.#base = base;
    this.#authorization = `Basic ${Buffer.from(`:${token}`).toString('base64')}`;
  }

  static async make({ paths, layout }: Rig): Promise<ApiProbe> {
    const base = `https://${gatewayAddress(layout)}:${layout.gatewayPort}/api`;
    const agent = new Agent({ ca: readFileSync(paths.caFile), keepAlive: true });
    const auth = { username: ADMIN_NAME, password: readFileSync(paths.password, 'utf8').trim() };
    const settings = { httpsAgent: agent, proxy: false, auth } as const;
    const { data } = await axios.get<string>(`${base}/login`, settings);
    return new ApiProbe(agent, base, data);
  }

  /** Asks again and again, whether or not earlier questions were answered; resolved at the first good answer. */
  async firstAnswer(broken: AbortSignal): Promise<void> {
    let isAnswered = false;
    await until('the API answers', async () => {
      broken.throwIfAborted();
      void this.#ask().then((isGood) => {
        isAnswered ||= isGood;
      });
      await pause(API_GAP_MS);
      return isAnswered;
    });
  }

  #ask(): Promise<boolean> {
    return new Promise((done) => {
      const request = get(
        `${this.#base}/types/Volume/instances`,
        { agent: this.#agent, headers: { authorization: this.#authorization } },
        (answer) => {
          answer.resume();
          answer.on('end', () => {
            done(answer.statusCode === 200);
          });
        },
      );
      request.on('error', () => {
        done(false);
      });
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The MDM's process is killed: the time until the API answers again, and what I/O notices. */
async function mdmKilled(bench: Bench): Promise<void> {
  const load = await bench.load(STEADY);
  const probe = await ApiProbe.make(bench.rig);
  const times: number[] = [];
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS / 2);
  const killedMs = Date.now();
  for (let turn = 0; turn < API_TRIES; turn++) {
    const atMs = Date.now();
    bench.rig.keeper.signal('mdm', 'SIGKILL');
    // What is asked from now on only the next one can answer.
    await probe.firstAnswer(bench.options.broken);
    times.push(Date.now() - atMs);
    await bench.wait(FAILOVER_MS / 2);
  }
  probe.close();
  const endMs = Date.now();
  const log = await load.end();
  bench.row('API answers again after', times.map(ms).join(', '));
  sayEffect(bench, log, baselineMs, killedMs, endMs);
}

function sayEffect(
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

/** All MDMs are down for minutes. */
async function mdmAway(bench: Bench): Promise<void> {
  const { minutes } = bench.options;
  const load = await bench.load(STEADY);
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS / 2);
  const fromMs = Date.now();
  const { release } = bench.rig.keeper.hold('mdm');
  await bench.wait(minutes * 60_000);
  const toMs = Date.now();
  release();
  const log = await load.end();
  bench.row('all MDMs down for', `${minutes} min`);
  sayEffect(bench, log, baselineMs, fromMs, toMs);
  await bench.whole();
}

/** A server is away for minutes while a part of its content changes: what its return copies. */
async function returning(bench: Bench): Promise<void> {
  const { rig, options } = bench;
  const [socket = ''] = await rig.addVolume('figures', 8, ['sdc']);
  options.say(`writing ${HELD_MIB} MiB`);
  await fill(socket, HELD_MIB);
  await bench.whole();
  const { release } = rig.keeper.hold('sds2');
  const awayMs = Date.now();
  await bench.wait(FAILOVER_MS);
  options.say(`changing ${CHANGED_MIB} MiB`);
  await fill(socket, CHANGED_MIB);
  await bench.wait(Math.max(0, options.minutes * 60_000 - (Date.now() - awayMs)));
  const before = rig.network?.receivedBytes('sds2') ?? 0;
  const returnedMs = Date.now();
  release();
  await until('the server is back', () => rig.keeper.idOf('sds2-data1') !== null);
  await bench.wait(FAILOVER_MS / 4);
  await bench.whole();
  const tookMs = Date.now() - returnedMs;
  const copied = (rig.network?.receivedBytes('sds2') ?? 0) - before;
  bench.row('away for', `${((returnedMs - awayMs) / 60_000).toFixed(1)} min`);
  bench.row('it held', `${HELD_MIB} MiB`);
  bench.row('changed meanwhile', `${CHANGED_MIB} MiB`);
  const share = (copied / (CHANGED_MIB * 2 ** 20)).toFixed(2);
  if (rig.network !== null)
    bench.row(
      'it received on its return',
      `${(copied / 2 ** 20).toFixed(1)} MiB, ${share} of what changed`,
    );
  bench.row('in sync again after', ms(tookMs));
}

/** The disk of one server becomes slower for good: what requests notice, and until when. */
async function slowDevice(bench: Bench): Promise<void> {
  const { rig } = bench;
  const load = await bench.load(CALM);
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS);
  if (rig.power === null) throw new Error('disks of a run of its own are needed: root, FUSE');
  const slowMs = Date.now();
  await rig.power.slow('sds2', SLOWER);
  const reached = new Map<string, number>();
  let reason = '';
  await until(
    'the slow device is taken out',
    async () => {
      bench.options.broken.throwIfAborted();
      for (const { slowStage, failure } of await rig.mdm.query('device')) {
        if (slowStage === 'none') continue;
        if (!reached.has(slowStage)) reached.set(slowStage, Date.now() - slowMs);
        if (slowStage === 'relieved') reason = failure;
      }
      return reached.has('ejected');
    },
    WHOLE_MS / 4,
  );
  const outMs = Date.now();
  await bench.wait(Math.max(0, NORMAL_MS - (outMs - slowMs)));
  const normalMs = Date.now();
  await bench.wait(AFTER_MS);
  const endMs = Date.now();
  const log = await load.end();
  const p99 = (fromMs: number, toMs: number): string =>
    `p99 ${ms(log.p99Ms(fromMs, toMs))}, slowest ${ms(log.slowestMs(fromMs, toMs))}`;
  bench.row('found', reason);
  bench.row('its roles are moved after', ms(reached.get('relieved') ?? NaN));
  bench.row('it is taken out after', ms(reached.get('ejected') ?? NaN));
  bench.row('requests before', p99(baselineMs, slowMs));
  bench.row('until it is taken out', p99(slowMs, outMs));
  bench.row('between that and the 30th second', p99(outMs, normalMs));
  bench.row('the 20 s after the 30th second, its data being made anew', p99(normalMs, endMs));
  bench.row('I/O errors', '0');
}

/** The device of one server hangs; after a while it answers with errors. */
async function stuckDevice(bench: Bench): Promise<void> {
  const { rig } = bench;
  const load = await bench.load(CALM);
  await bench.wait(WARM_MS);
  if (rig.power === null) throw new Error('disks of a run of its own are needed: root, FUSE');
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS / 2);
  const stuckMs = Date.now();
  await rig.power.stick('sds2', false);
  const reached = async (state: string): Promise<number> => {
    await until(`a device is ${state}`, async () => {
      bench.options.broken.throwIfAborted();
      return (await rig.mdm.query('device')).some((device) => device.state === state);
    });
    return Date.now();
  };
  const downMs = await reached('down');
  await bench.wait(FAILOVER_MS);
  const brokenMs = Date.now();
  await rig.power.stick('sds2', true);
  const failedMs = await reached('failed');
  const failed = (await rig.mdm.query('device')).find(({ state }) => state === 'failed');
  await bench.whole();
  const wholeMs = Date.now();
  const log = await load.end();
  bench.row('slowest request before', ms(log.slowestMs(baselineMs, stuckMs)));
  bench.row('it counts as down after', ms(downMs - stuckMs));
  bench.row('longest stall of a request', ms(log.slowestMs(stuckMs, brokenMs)));
  bench.row('after the first error it has failed within', ms(failedMs - brokenMs));
  bench.row('the reason', failed?.failure ?? '');
  bench.row('two copies of everything again after', ms(wholeMs - failedMs));
  bench.row('longest stall meanwhile', ms(log.slowestMs(brokenMs, wholeMs)));
  bench.row('I/O errors', '0');
}

interface Measurement {
  readonly sdsCount: number;
  /** Servers have disks that do what they are told. */
  readonly ownDisks?: boolean;
  readonly act: (bench: Bench) => Promise<void>;
}

const MEASUREMENTS: Readonly<Record<FigureName, Measurement>> = {
  'sds-killed': { sdsCount: 3, act: sdsKilled },
  'mdm-killed': { sdsCount: 3, act: mdmKilled },
  'mdm-away': { sdsCount: 3, act: mdmAway },
  // Two, so that every change concerns both.
  return: { sdsCount: 2, act: returning },
  'slow-device': { sdsCount: 4, ownDisks: true, act: slowDevice },
  'stuck-device': { sdsCount: 4, ownDisks: true, act: stuckDevice },
};

/** Measures; what cannot be measured throws. */
export async function measure(
  names: readonly FigureName[],
  options: FigureOptions,
): Promise<readonly FigureRow[]> {
  const rows: FigureRow[] = [];
  for (const name of names) {
    const { sdsCount, ownDisks = false, act } = MEASUREMENTS[name];
    const folder = join(options.dir, name);
    mkdirSync(folder, { mode: 0o700 });
    const cluster = join(folder, 'cluster');
    const throttle = makeThrottle(options.dir);
    const { isolated, say } = options;
    say(throttle === null ? `${name}: the servers cannot be throttled here` : name);
    const rig = await Rig.start({
      ...{ dir: cluster, sdsCount, mdms: 1, isolated, say, smallDisks: false },
      throttle: throttle ?? [],
      powerSeed: ownDisks ? 1 : null,
    });
    const bench = new Bench(rig, options, name, folder);
    try {
      await act(bench);
    } finally {
      await rig.stop();
      await removeThrottle(options.dir);
    }
    rows.push(...bench.rows);
  }
  return rows;
}
