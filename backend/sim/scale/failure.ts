// One server of many dies: what its end costs the MDM, how long it takes until every comb has a primary again and everybody
// knows, and how often each comb changed on the way. It also measures what the cluster costs while nothing happens.

import { OPTIONS } from '../../protocol/tables/options.js';
import type { ScaleCluster } from './cluster.js';
import { between } from './meters.js';

const SECOND_US = 1_000_000;
const QUIET_US = 4 * SECOND_US;
const WATCH_US = 10 * SECOND_US;

export interface Quiet {
  /** Of one core, with nothing but heartbeats. */
  readonly core: number;
  readonly heartbeatsPerSecond: number;
  readonly cpuMicrosPerHeartbeat: number;
  /** Both ways. */
  readonly bytesPerSecondPerNode: number;
}

export interface Failure {
  /** Combs with a copy on the server that died, and of those the ones that it was primary of. */
  readonly combs: number;
  readonly primaries: number;
  /** Changes until no entry in sync names the dead device any more. */
  readonly changes: number;
  readonly mostChangesOfOneComb: number;
  readonly combsWithoutChange: number;
  /** From its death. */
  readonly committedMs: number;
  readonly allHeardMs: number;
  /** From the MDM's finding on. */
  readonly afterDetectionMs: number;
  readonly commits: number;
  readonly commitBytes: number;
  /** What the ten seconds took beyond the heartbeats, and the busiest of them. */
  readonly cpuMs: number;
  readonly busiestCore: number;
  readonly longestTurnMs: number;
  readonly mapBytesPerServer: number;
  readonly mapBytesPerClient: number;
}

/** What the cluster costs while nothing happens. */
export function measureQuiet(cluster: ScaleCluster): Quiet {
  const { world, servers, clients } = cluster;
  const before = world.meters.totals();
  cluster.rest(QUIET_US);
  const spent = between(before, world.meters.totals());
  const seconds = QUIET_US / SECOND_US;
  const nodes = servers.length + clients.length;
  return {
    core: spent.cpuMs / 1000 / seconds,
    heartbeatsPerSecond: spent.inFrames / seconds,
    cpuMicrosPerHeartbeat: (spent.cpuMs * 1000) / spent.inFrames,
    bytesPerSecondPerNode: (spent.inBytes + spent.outBytes) / seconds / nodes,
  };
}

/** A server dies, without a word. */
export function measureFailure(cluster: ScaleCluster, quiet: Quiet): Failure {
  const { world, servers, clients, entries } = cluster;
  const victim = servers[Math.floor(servers.length / 2)];
  if (victim === undefined) throw new Error('a cluster has servers');
  const isVictim = ({ deviceKey }: { readonly deviceKey: number }): boolean =>
    deviceKey === victim.deviceKey;
  const held = entries.flatMap((entry) =>
    entry?.members.some(isVictim) === true ? [entry.index] : [],
  );
  const primaries = held.filter((index) => {
    const entry = entries[index];
    return entry !== undefined && entry.members[entry.primary]?.deviceKey === victim.deviceKey;
  });
  const changes = new Map<number, number>();
  const open = new Set(held);
  let lastUs = 0;
  let lastSequence = 0;
  cluster.changed = ({ atUs, before, after }) => {
    const at = before.members.findIndex(isVictim);
    // What follows, such as copies elsewhere, is counted with the moves.
    if (at < 0 || !open.has(after.index)) return;
    changes.set(after.index, (changes.get(after.index) ?? 0) + 1);
    const now = after.members.findIndex(isVictim);
    if (now >= 0 && ((after.inSyncMask >> now) & 1) === 1) return;
    open.delete(after.index);
    lastUs = atUs;
    lastSequence = world.metadata.sequence;
  };
  for (const server of servers) server.takeHeard();
  const heardBefore = clients.reduce((sum, { heardBytes }) => sum + heardBytes, 0);
  world.meters.takeLongestMs();
  const before = world.meters.totals();
  const diedUs = world.nowUs;
  victim.die(OPTIONS.pingDeadMs.default * 1000);
  const survivors = servers.filter((server) => server !== victim);
  world.run(diedUs + WATCH_US, () => open.size === 0);
  const committedUs = lastUs;
  // Every client follows all combs of the pool; a server hears of its own, at the same moment as the others.
  const knows = (): boolean =>
    clients.every(({ appliedSequence }) => appliedSequence >= lastSequence);
  world.run(diedUs + WATCH_US, knows);
  const heardUs = world.nowUs;
  world.run(diedUs + WATCH_US);
  const spent = between(before, world.meters.totals());
  const counts = [...changes.values()];
  const serverBytes = survivors.reduce((sum, server) => sum + server.takeHeard().bytes, 0);
  const clientBytes = clients.reduce((sum, { heardBytes }) => sum + heardBytes, 0) - heardBefore;
  return {
    combs: held.length,
    primaries: primaries.length,
    changes: counts.reduce((sum, count) => sum + count, 0),
    mostChangesOfOneComb: Math.max(0, ...counts),
    combsWithoutChange: open.size,
    committedMs: (committedUs - diedUs) / 1000,
    allHeardMs: (heardUs - diedUs) / 1000,
    afterDetectionMs: (heardUs - diedUs) / 1000 - OPTIONS.detectionMs.default,
    commits: spent.commits,
    commitBytes: spent.commitBytes,
    cpuMs: spent.cpuMs - (quiet.core * WATCH_US) / 1000,
    busiestCore: world.meters.busiestCore(diedUs),
    longestTurnMs: world.meters.takeLongestMs(),
    mapBytesPerServer: serverBytes / survivors.length,
    mapBytesPerClient: clients.length === 0 ? 0 : clientBytes / clients.length,
  };
}
