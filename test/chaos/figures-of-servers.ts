// Figures of storage servers that die: for good, so that what they held is made anew on others, or for a while.

import { until } from '../support/until.js';
import {
  AFTER_MS,
  BASELINE_MS,
  FAILOVER_MS,
  FULL,
  WARM_MS,
  WHOLE_MS,
  mb,
  ms,
  percent,
  sayStall,
} from './figure-bench.js';
import type { Bench } from './figure-bench.js';
import { fill } from '../support/io-log.js';
import type { IoLog, Load } from '../support/io-log.js';

const MISSING_MS = 15_000;
const SPAN_MS = 2000;
const BACK = 0.95;
const LOOK_MS = 200;
const CHANGED_MIB = 64;
const HELD_MIB = 1024;
/** As much as the servers can do, on so much that its rebuild takes a while. */
const WIDE: Load = { ...FULL, sizeMib: 1024 };

/** A server with its device dies under full load, stays away, and comes back. */
export async function sdsKilled(bench: Bench): Promise<void> {
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
  sayBaseline(bench, log, baselineMs, killedMs);
  sayStall(bench, log, killedMs, returnedMs);
  bench.row('throughput while it is away, the stall included', share(killedMs, returnedMs));
  bench.row(
    'throughput after the stall, still away',
    share(killedMs + FAILOVER_MS / 2, returnedMs),
  );
  bench.row('its return until all copies are in sync', ms(wholeMs - returnedMs));
  bench.row('throughput meanwhile', share(returnedMs, wholeMs));
  bench.row('longest stall by its return', ms(log.slowestMs(returnedMs, wholeMs)));
  sayBack(bench, log, returnedMs, endMs, baseline);
}

/** A server dies for good under full load: what it held is made anew by all others. */
export async function rebuilt(bench: Bench): Promise<void> {
  const { rig } = bench;
  const load = await bench.load(WIDE);
  await bench.wait(WARM_MS);
  const baselineMs = Date.now();
  await bench.wait(BASELINE_MS);
  const killedMs = Date.now();
  rig.keeper.hold('sds2');
  const jobs = async (): Promise<number> => {
    bench.options.broken.throwIfAborted();
    const { statuses } = await rig.mdm.status('device');
    const all = statuses.flatMap((status) => status.jobs);
    return all.reduce(
      (sum, { job, activeIn }) => sum + (job === 'forwardRebuild' ? activeIn : 0),
      0,
    );
  };
  await until('the rebuild begins', async () => (await jobs()) > 0, WHOLE_MS);
  const begunMs = Date.now();
  await bench.whole();
  const wholeMs = Date.now();
  await bench.wait(AFTER_MS);
  const log = await load.end();
  const endMs = Date.now();
  const baseline = log.mbPerS(baselineMs, killedMs);
  sayBaseline(bench, log, baselineMs, killedMs);
  sayStall(bench, log, killedMs, begunMs);
  bench.row('the rebuild begins after', ms(begunMs - killedMs));
  bench.row('two copies of everything again after', ms(wholeMs - begunMs));
  bench.row('throughput meanwhile', percent(log.mbPerS(begunMs, wholeMs), baseline));
  bench.row('slowest request meanwhile', ms(log.slowestMs(begunMs, wholeMs)));
  sayBack(bench, log, wholeMs, endMs, baseline);
  bench.row('I/O errors', '0');
}

function sayBaseline(bench: Bench, log: IoLog, fromMs: number, toMs: number): void {
  const slowest = ms(log.slowestMs(fromMs, toMs));
  bench.row('baseline', `${mb(log.mbPerS(fromMs, toMs))}, slowest request ${slowest}`);
}

/** When the throughput is what it was, counted from some event on. */
function sayBack(bench: Bench, log: IoLog, fromMs: number, toMs: number, baseline: number): void {
  const back = log.reachedAfterMs(fromMs, toMs, baseline * BACK, SPAN_MS);
  bench.row(
    `${BACK * 100} % of the baseline again after that`,
    back === null ? 'not reached' : ms(back),
  );
  bench.row('throughput of the last 20 s', percent(log.mbPerS(toMs - AFTER_MS, toMs), baseline));
}

/** A server is away for minutes while a part of its content changes: what its return copies. */
export async function returning(bench: Bench): Promise<void> {
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
