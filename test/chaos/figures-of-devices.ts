// Figures of devices that do not end but fail in other ways: slow for good, silent, then broken.

import { until } from '../support/until.js';
import { AFTER_MS, BASELINE_MS, CALM, FAILOVER_MS, WARM_MS, WHOLE_MS, ms } from './figure-bench.js';
import type { Bench } from './figure-bench.js';

/** Flushes take so many times as long: some more than ten, because a request takes longer than its flush. */
const SLOWER = 16;
/** Everything has to be as before after this. */
const NORMAL_MS = 30_000;

/** The disk of one server becomes slower for good: what requests notice, and until when. */
export async function slowDevice(bench: Bench): Promise<void> {
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
export async function stuckDevice(bench: Bench): Promise<void> {
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
