// How long the copies of a dead server take to be made anew, by the number of servers: all survivors share the work, so twice
// as many need half the time. Disks are modelled; what is copied where, and when, is the MDM's decision.

import { MDM_DEFAULTS } from '../../mdm/options.js';
import { OPTIONS } from '../../protocol/tables/options.js';
import { ScaleCluster } from './cluster.js';

export interface Rebuild {
  readonly servers: number;
  /** Of the pool, and those with a copy on the server that died. */
  readonly poolCombs: number;
  readonly combs: number;
  /** From the MDM's first new target to the last comb that is whole again. */
  readonly seconds: number;
  /** What the disks alone would need: all of it read once and written once, by all survivors at full speed. */
  readonly idealSeconds: number;
  readonly mdmCpuMs: number;
}

const DISK_BYTES_PER_SECOND = 500e6;
const SERVER_BYTES = 256e9;
const PATIENCE_US = 4 * 3600e6;
const STEP_US = 1e6;

/**
 * In a pool with the combs that a new one has.
 *
 * @param movesPerDevice - combs that a device takes part in the copying of at the same time, for every 128 that it carries
 */
export function measureRebuild(servers: number, movesPerDevice: number): Rebuild {
  const { combCountLog2, combsPerPair } = MDM_DEFAULTS;
  const cluster = new ScaleCluster(
    {
      ...{ servers, combCountLog2, combsPerPair, clients: 0 },
      ...{ diskBytesPerSecond: DISK_BYTES_PER_SECOND, serverBytes: SERVER_BYTES },
    },
    () => undefined,
  );
  const { world, operator, poolKey, combBytes } = cluster;
  operator.do('SET_POOL_COPYING', {
    ...{ key: poolKey, rebuildEnabled: null, rebalanceEnabled: false, rebuild: null },
    ...{ rebalance: null, movesPerDevice },
  });
  const victim = cluster.servers[0];
  if (victim === undefined) throw new Error('a cluster has servers');
  const lost = new Set(
    cluster.entries.flatMap((entry) =>
      entry?.members.some(({ deviceKey }) => deviceKey === victim.deviceKey) === true
        ? [entry.index]
        : [],
    ),
  );
  const lostCount = lost.size;
  let firstUs = 0;
  let lastUs = 0;
  cluster.changed = ({ atUs, after }) => {
    if (firstUs === 0 && after.blankMask !== 0) firstUs = atUs;
    const inSync = after.members.filter(
      ({ deviceKey }, at) => ((after.inSyncMask >> at) & 1) === 1 && deviceKey !== victim.deviceKey,
    );
    if (inSync.length < 2 || !lost.delete(after.index)) return;
    lastUs = atUs;
  };
  const before = world.meters.totals().cpuMs;
  victim.die(OPTIONS.pingDeadMs.default * 1000);
  cluster.disks.lose(victim.deviceKey);
  const endUs = world.nowUs + PATIENCE_US;
  while (lost.size > 0 && world.nowUs < endUs) world.run(world.nowUs + STEP_US);
  if (lost.size > 0)
    throw new Error(`${lost.size} combs of ${servers} servers stay without a copy`);
  return {
    servers,
    poolCombs: cluster.entries.length,
    combs: lostCount,
    seconds: (lastUs - firstUs) / 1e6,
    idealSeconds: (2 * lostCount * combBytes) / ((servers - 1) * DISK_BYTES_PER_SECOND),
    mdmCpuMs: world.meters.totals().cpuMs - before,
  };
}
