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

/** What a node is in the MDM cluster: why it may not leave, or what follows when it does. */
function judgeManager(
  { mdms }: ClusterView,
  node: string,
  address: string | null,
): { readonly refusal: string | null; readonly note: string } {
  const members = mdms.filter(({ member }) => member);
  const self = members.find(({ host }) => host === address);
  if (self === undefined) return { refusal: null, note: '' };
  if (members.length === 1)
    return {
      refusal: `no: ${node} has the only copy of the metadata; with etcd on three controllers the next deployment makes an MDM cluster of them`,
      note: '',
    };
  const away = members.filter((mdm) => mdm !== self && !mdm.up).map(({ name }) => name);
  if (away.length > 0)
    return {
      refusal: `no: ${node} is a member of the MDM cluster, and ${away.join(', ')} ${away.length === 1 ? 'does' : 'do'} not answer; bring ${away.length === 1 ? 'it' : 'them'} back first`,
      note: '',
    };
  return {
    refusal: null,
    note: `; it is a ${self.role === 'manager' ? 'manager' : 'tie-breaker'} of the MDM cluster, in which the next deployment puts another controller into its place`,
  };
}

/** The answer from what the cluster shows. @param address - of the node; null: it is none of the environment */
export function judgeRemoval(
  view: ClusterView,
  node: string,
  address: string | null,
): RemovalAnswer {
  const reasons: string[] = [];
  const manager = judgeManager(view, node, address);
  if (manager.refusal !== null) reasons.push(manager.refusal);
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
  const yes = `yes: nothing depends on ${node}${degraded}${manager.note}`;
  return { node, removable: true, reasons: [yes] };
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
  return judgeRemoval(view, node, address ?? null);
}
