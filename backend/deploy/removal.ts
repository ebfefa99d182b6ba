// Whether a node may leave the environment: what it holds for others right now. It asks; the MDM decides again, in the
// commit that removes the server. It must never change anything.

import type { Environment } from './environment/model.js';
import { mdmAddressesOf } from './environment/model.js';
import { secretsOf } from './environment/secrets.js';
import type { ClusterView } from './plan/model.js';
import { viewCluster } from './shell/cluster.js';

const ASK_MS = 20_000;

export interface RemovalAnswer {
  readonly node: string;
  readonly removable: boolean;
  readonly reasons: readonly string[];
}

/** The answer from what the cluster shows. */
export function judgeRemoval(view: ClusterView, node: string, manager: boolean): RemovalAnswer {
  const reasons: string[] = [];
  if (manager)
    reasons.push(
      `no: ${node} has the metadata; moving it needs a cluster of managers, which this release lacks`,
    );
  const sds = view.sds.find(({ name }) => name === node);
  const pools = new Set(sds?.devices.map(({ pool }) => pool));
  const volumes = view.pools
    .filter(({ name }) => pools.has(name))
    .reduce((sum, pool) => sum + pool.volumes, 0);
  if (sds?.connected === true && volumes > 0)
    reasons.push(
      `no: ${node} holds copies of ${volumes} volumes; scli --remove_sds --sds_name ${node} moves them elsewhere, ask again when it has gone`,
    );
  if (sds?.connected === false && view.unavailableCombs > 0)
    reasons.push(
      `no: ${view.unavailableCombs} placement groups have no copy that is up; ${node} may have the last one: bring it back`,
    );
  const sdc = view.sdcs.find(({ name }) => name === node);
  if (sdc !== undefined && sdc.mappings > 0)
    reasons.push(`no: ${sdc.mappings} volumes are mapped to ${node}; detach them first`);
  if (reasons.length > 0) return { node, removable: false, reasons };
  const degraded =
    sds !== undefined && view.degradedCombs > 0
      ? `; ${view.degradedCombs} placement groups keep one copy only`
      : '';
  return { node, removable: true, reasons: [`yes: nothing depends on ${node}${degraded}`] };
}

/** Asks the cluster. @throws Error when no MDM answers */
export async function removalAnswer(
  environment: Environment,
  node: string,
): Promise<RemovalAnswer> {
  const secrets = await secretsOf(environment, Date.now());
  const hosts = mdmAddressesOf(environment);
  const view = await viewCluster(hosts, secrets.system, ASK_MS, true);
  if (view === null) throw new Error('no MDM answers');
  const address = environment.nodes.find(({ name }) => name === node)?.managementAddress;
  const manager = address !== undefined && address === view.managerHost;
  return judgeRemoval(view, node, manager);
}
