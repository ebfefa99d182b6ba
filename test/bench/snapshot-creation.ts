// Owns the figure of how long one snapshot takes, of a small full volume and of a large thin one in turns.
import { GIB } from '../../backend/core/units.js';
import { fill, nbdEngine } from './fio.js';
import { median, most } from './spread.js';
import type { SnapshotCluster, SnapshotSettings } from './snapshot-cluster.js';

const LARGE_GIB = 1024;

export async function measureCreation(
  cluster: SnapshotCluster,
  { runs, signal, say, row }: SnapshotSettings,
): Promise<void> {
  const [small] = await cluster.addVolumes(1, 1, 'small');
  const [large] = await cluster.addVolumes(1, LARGE_GIB, 'large');
  if (small === undefined || large === undefined) throw new Error('no volumes were made');
  say('writing 1 GiB to each volume');
  for (const { socket } of [small, large]) await fill(nbdEngine(socket), GIB, signal);
  const tookMs = { small: [] as number[], large: [] as number[] };
  const snapshot = async (id: string): Promise<number> => {
    signal.throwIfAborted();
    // The session is no part of the call.
    const gateway = await cluster.gateway();
    const fromMs = performance.now();
    await gateway.snapshotVolumes([id]);
    return performance.now() - fromMs;
  };
  // Until then the code for it is not compiled.
  for (const { id } of [small, large]) await snapshot(id);
  for (let index = 0; index < runs; index++) {
    const order = index % 2 === 0 ? (['small', 'large'] as const) : (['large', 'small'] as const);
    for (const which of order)
      tookMs[which].push(await snapshot(which === 'small' ? small.id : large.id));
  }
  cluster.requireUnbroken();
  const inWords = (list: readonly number[]): string =>
    `median ${median(list).toFixed(1)}, longest ${most(list).toFixed(1)} ms (of ${list.length})`;
  row('volume of 1 GiB, written in full', inWords(tookMs.small));
  row(`thin volume of ${LARGE_GIB / 1024} TiB, 1 GiB of it written`, inWords(tookMs.large));
}
