// Changes of the MDM cluster that a deployment asks for, by the names of MDMs. It must never decide who takes part.

import { ClusterError } from '../../runtime/cluster.js';
import type { Cluster } from '../../runtime/cluster.js';
import { changed } from '../../runtime/cluster-change.js';
import type { ClusterRequest } from '../plan/model.js';

export type ManagerRequest = Extract<
  ClusterRequest,
  { readonly op: 'addStandby' | 'removeStandby' | 'switchOwnership' | 'switchCluster' }
>;

const OPS: ReadonlySet<string> = new Set([
  'addStandby',
  'removeStandby',
  'switchOwnership',
  'switchCluster',
]);

export const isManagerRequest = (request: ClusterRequest): request is ManagerRequest =>
  OPS.has(request.op);

/** @throws ClusterError MDM_NOT_FOUND */
async function keysOf(cluster: Cluster, names: readonly string[]): Promise<number[]> {
  const { members } = await cluster.clusterState();
  return names.map((name) => {
    const found = members.find((mdm) => mdm.name === name);
    if (found === undefined) throw ClusterError.named('MDM_NOT_FOUND');
    return found.key;
  });
}

async function switchOwnership(cluster: Cluster, actor: string, name: string): Promise<void> {
  const [key = 0] = await keysOf(cluster, [name]);
  try {
    await cluster.command('SWITCH_MDM_OWNERSHIP', actor, { key });
  } catch (error) {
    // An answer that got lost on the way is asked for again.
    if (!(error instanceof ClusterError) || error.info.name !== 'ALREADY_MASTER') throw error;
  }
}

/** @throws ClusterError */
export async function applyManagers(
  cluster: Cluster,
  actor: string,
  request: ManagerRequest,
): Promise<void> {
  switch (request.op) {
    case 'addStandby': {
      const { name, host, role } = request;
      const { members } = await cluster.clusterState();
      if (members.some((mdm) => mdm.host === host && mdm.role === role)) return;
      const ports = { port: 0, clientPort: 0, peerPort: 0 };
      await cluster.command('ADD_STANDBY_MDM', actor, { name, host, role, ...ports, clean: false });
      return;
    }
    case 'removeStandby': {
      const [key = 0] = await keysOf(cluster, [request.name]);
      await cluster.command('REMOVE_STANDBY_MDM', actor, { key });
      return;
    }
    case 'switchOwnership':
      await switchOwnership(cluster, actor, request.name);
      return;
    case 'switchCluster': {
      const { mode, allowFailed } = request;
      const add = await keysOf(cluster, request.add);
      const remove = await keysOf(cluster, request.remove);
      const { job } = await cluster.command('SWITCH_CLUSTER', actor, {
        ...{ mode, add, remove, allowFailed },
      });
      await changed(cluster, job);
    }
  }
}
