// Figures of two hosts on the same servers: one that keeps within a limit (QoS), and a noisy one beside it.

import { ADMIN_NAME } from '../../backend/deploy/local/layout.js';
import { MeasuredLoad, fill, overNbd } from '../support/io-log.js';
import type { Load } from '../support/io-log.js';
import { FAILOVER_MS, WARM_MS, ms, percent } from './figure-bench.js';
import type { Bench } from './figure-bench.js';
import { SECOND_CLIENT } from './plan.js';
import { throttling } from './throttle.js';

/** Quiet and noise in turn, so many times. */
const PAIRS = 5;
/** After each change, until what was under way is through. */
const SETTLE_MS = 2000;
const SIZE_MIB = 128;
const LIMIT_IOPS = 500;
const WRITES = ['--rw=randwrite', '--bs=4k'];

/** The neighbour does as much as its limit allows, and waits for it; or less than that, and never waits. */
const AT_LIMIT: Load = { mix: WRITES, sizeMib: SIZE_MIB, depth: 16, iops: 0 };
const BELOW_LIMIT: Load = { ...AT_LIMIT, iops: 300 };
const NOISE: Load = { mix: WRITES, sizeMib: SIZE_MIB, depth: 32, iops: 0 };

const median = (values: readonly number[]): number =>
  [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;

async function limit(bench: Bench, name: string, iopsLimit: number): Promise<void> {
  const { mdm } = bench.rig;
  const volume = (await mdm.query('volume')).find((one) => one.name === name);
  const mapping = (await mdm.query('mapping')).find((one) => one.volumeKey === volume?.key);
  if (mapping === undefined) throw new Error(`${name} is not mapped`);
  await mdm.command('SET_MAPPING_LIMITS', ADMIN_NAME, {
    ...{ volumeKey: mapping.volumeKey, sdcKey: mapping.sdcKey, iopsLimit },
    ...{ bandwidthLimitKbps: 0, iopsPerGib: 0, kbpsPerGib: 0 },
  });
}

interface Sockets {
  readonly neighbour: string;
  readonly noisy: string;
}

/** How long a neighbour's requests take in quiet and under noise, in turn. */
async function pairs(bench: Bench, what: string, load: Load, sockets: Sockets): Promise<void> {
  const neighbour = new MeasuredLoad(overNbd(sockets.neighbour), bench.folder('neighbour'), load);
  await bench.wait(WARM_MS);
  const spans: { quiet: [number, number]; noise: [number, number] }[] = [];
  const noiseRates: number[] = [];
  const stood = { quiet: 0, noise: 0 };
  let periods = 0;
  for (let pair = 0; pair < PAIRS; pair++) {
    await bench.wait(SETTLE_MS);
    const quietMs = Date.now();
    const before = throttling(bench.options.dir);
    await bench.wait(FAILOVER_MS);
    const quietEndMs = Date.now();
    const between = throttling(bench.options.dir);
    const noise = new MeasuredLoad(overNbd(sockets.noisy), bench.folder('noise'), NOISE);
    await bench.wait(SETTLE_MS);
    const noiseMs = Date.now();
    const begun = throttling(bench.options.dir);
    await bench.wait(FAILOVER_MS);
    const noiseEndMs = Date.now();
    const after = throttling(bench.options.dir);
    stood.quiet += between.stood - before.stood;
    stood.noise += after.stood - begun.stood;
    periods += between.periods - before.periods;
    const made = await noise.end();
    noiseRates.push((made.count(noiseMs, noiseEndMs) * 1000) / (noiseEndMs - noiseMs));
    spans.push({ quiet: [quietMs, quietEndMs], noise: [noiseMs, noiseEndMs] });
  }
  const log = await neighbour.end();
  const p99 = spans.map(({ quiet, noise }) => ({
    quiet: log.p99Ms(...quiet),
    noise: log.p99Ms(...noise),
  }));
  const ratios = p99.map(({ quiet, noise }) => noise / quiet);
  const rate = (which: 'quiet' | 'noise'): string =>
    median(
      spans.map(
        ({ [which]: [fromMs, toMs] }) => (log.count(fromMs, toMs) * 1000) / (toMs - fromMs),
      ),
    ).toFixed(0);
  bench.row(
    `${what}: requests a second in quiet; under noise`,
    `${rate('quiet')}; ${rate('noise')}`,
  );
  bench.row(`${what}: the noise, requests a second`, median(noiseRates).toFixed(0));
  if (periods > 0)
    bench.row(
      `${what}: the servers had used up their half of the machine in quiet; under noise`,
      `${percent(stood.quiet, periods)}; ${percent(stood.noise, periods)} of the time slices`,
    );
  bench.row(
    `${what}: p99 in quiet; under noise (medians of ${PAIRS} pairs)`,
    `${ms(median(p99.map(({ quiet }) => quiet)))}; ${ms(median(p99.map(({ noise }) => noise)))}`,
  );
  bench.row(
    `${what}: p99 under noise, times that in quiet`,
    `${median(ratios).toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(' ')})`,
  );
}

/** A neighbour with a limit, at it and below it, beside one without; then beside one that is limited too. */
export async function neighbours(bench: Bench): Promise<void> {
  const { rig, options } = bench;
  const [neighbour = ''] = await rig.addVolume('neighbour', 8, ['sdc']);
  const [noisy = ''] = await rig.addVolume('noisy', 8, [SECOND_CLIENT]);
  const sockets = { neighbour, noisy };
  options.say(`writing twice ${SIZE_MIB} MiB`);
  await fill(neighbour, SIZE_MIB);
  await fill(noisy, SIZE_MIB);
  await limit(bench, 'neighbour', LIMIT_IOPS);
  await pairs(bench, `at its limit of ${LIMIT_IOPS}`, AT_LIMIT, sockets);
  await pairs(bench, `at ${BELOW_LIMIT.iops} of ${LIMIT_IOPS}`, BELOW_LIMIT, sockets);
  await limit(bench, 'noisy', LIMIT_IOPS);
  await pairs(bench, 'the same, the noise limited too', BELOW_LIMIT, sockets);
}
