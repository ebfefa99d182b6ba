// What comes next in a rolling upgrade, judged by what nodes and cluster say now: so an upgrade that stopped goes on where it
// is. Pure: it must never ask or change anything.

/** A node as its agent reports it. */
export interface UpgradeNode {
  /** Where its agent was asked. */
  readonly host: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** Packages of ours that are installed, with their versions. */
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly state: string;
  }[];
  /** Services of ours, as systemd says. */
  readonly services: readonly { readonly unit: string; readonly state: string }[];
}

export interface UpgradeSds {
  readonly key: number;
  readonly name: string;
  readonly hosts: readonly string[];
  readonly connected: boolean;
  readonly maintenance: string;
  readonly stage: string;
}

export interface UpgradeMdm {
  readonly key: number;
  readonly name: string;
  readonly host: string;
  readonly isManager: boolean;
  readonly isMember: boolean;
  readonly isMaster: boolean;
  readonly isUp: boolean;
}

/** The cluster as its master says. */
export interface UpgradeCluster {
  readonly clusterVersion: number;
  readonly sds: readonly UpgradeSds[];
  readonly mdms: readonly UpgradeMdm[];
  /** Devices that are not connected and did not fail for good. */
  readonly devicesAway: readonly string[];
  readonly degradedCombs: number;
  readonly unavailableCombs: number;
}

/** What is to be installed. */
export interface UpgradeGoal {
  readonly version: string;
  /** Newest protocol version that its programs speak. */
  readonly protocolMax: number;
}

export type UpgradeStep =
  /** Another manager becomes the master. */
  | { readonly kind: 'handOver'; readonly heirKey: number; readonly heir: string }
  /** The copies on this node rest: what it was primary for is served elsewhere before it stops. */
  | { readonly kind: 'rest'; readonly sdsKey: number; readonly sds: string }
  | { readonly kind: 'install'; readonly packages: readonly string[] }
  /** Its copies get what changed meanwhile. */
  | { readonly kind: 'return'; readonly sdsKey: number; readonly sds: string };

const whole = (state: string): boolean => state === 'installed';

/** Names of packages that are not of this version yet. */
export function oldPackages({ packages }: UpgradeNode, version: string): readonly string[] {
  return packages
    .filter((item) => item.version !== version || !whole(item.state))
    .map(({ name }) => name);
}

const lives = (node: UpgradeNode, hosts: readonly string[]): boolean =>
  hosts.some((host) => node.addresses.includes(host) || node.host === host);

/** SDSs whose addresses are of this node. */
export function sdsOf(node: UpgradeNode, cluster: UpgradeCluster): readonly UpgradeSds[] {
  return cluster.sds.filter(({ hosts }) => lives(node, hosts));
}

function masterOf(node: UpgradeNode, { mdms }: UpgradeCluster): UpgradeMdm | undefined {
  return mdms.find(({ isMaster, host }) => isMaster && lives(node, [host]));
}

/**
 * Nodes in the order of their turns: standby and other MDMs first, the node of the master behind them, then the others by
 * name. So the newest MDM serves older components, never the other way round for long.
 */
export function turns(
  nodes: readonly UpgradeNode[],
  cluster: UpgradeCluster,
): readonly UpgradeNode[] {
  const rank = (node: UpgradeNode): number => {
    // At most one rests at a time: whoever does already has its turn first.
    if (sdsOf(node, cluster).some(({ maintenance }) => maintenance !== 'none')) return -1;
    if (masterOf(node, cluster) !== undefined) return 1;
    return cluster.mdms.some(({ host }) => lives(node, [host])) ? 0 : 2;
  };
  return [...nodes].sort(
    (one, other) => rank(one) - rank(other) || one.host.localeCompare(other.host),
  );
}

/** What is to be done on a node, in order; empty: nothing. */
export function stepsOf(
  node: UpgradeNode,
  cluster: UpgradeCluster,
  { version }: UpgradeGoal,
): readonly UpgradeStep[] {
  const steps: UpgradeStep[] = [];
  const old = oldPackages(node, version);
  const servers = sdsOf(node, cluster);
  if (old.length > 0) {
    const master = masterOf(node, cluster);
    const heir = cluster.mdms.find(
      (mdm) => mdm.isManager && mdm.isMember && mdm.isUp && !mdm.isMaster,
    );
    if (master !== undefined && heir !== undefined)
      steps.push({ kind: 'handOver', heirKey: heir.key, heir: heir.name });
    for (const { key, name, stage } of servers)
      if (stage !== 'active') steps.push({ kind: 'rest', sdsKey: key, sds: name });
    steps.push({ kind: 'install', packages: node.packages.map(({ name }) => name) });
  }
  for (const { key, name, maintenance } of servers)
    if (old.length > 0 || maintenance !== 'none')
      steps.push({ kind: 'return', sdsKey: key, sds: name });
  return steps;
}

/**
 * Why an upgrade may not begin, or go on with its next node; empty: it may.
 *
 * @param resume - an SDS may be in maintenance, because an upgrade stopped there
 */
export function faultsOf(
  nodes: readonly UpgradeNode[],
  cluster: UpgradeCluster,
  goal: UpgradeGoal,
  resume: boolean,
): readonly string[] {
  const faults: string[] = [];
  if (goal.protocolMax < cluster.clusterVersion)
    faults.push(
      `the cluster was raised to version ${cluster.clusterVersion}, ${goal.version} speaks up to ${goal.protocolMax}: there is no way back`,
    );
  for (const { name, host, services } of nodes)
    for (const { unit, state } of services)
      if (state === 'failed') faults.push(`${unit} has failed on ${name} (${host})`);
  for (const sds of cluster.sds) {
    if (!sds.connected) faults.push(`SDS ${sds.name} is not connected`);
    if (sds.maintenance !== 'none' && !resume)
      faults.push(
        `SDS ${sds.name} is in ${sds.maintenance} maintenance mode; if an upgrade stopped there, name --resume`,
      );
    if (!nodes.some((node) => lives(node, sds.hosts)))
      faults.push(`SDS ${sds.name} (${sds.hosts.join(', ')}) is on none of the nodes`);
  }
  for (const { name, host, isUp } of cluster.mdms) {
    if (!isUp) faults.push(`MDM ${name} does not answer`);
    if (!nodes.some((node) => lives(node, [host])))
      faults.push(`MDM ${name} (${host}) is on none of the nodes`);
  }
  if (!resume) faults.push(...copiesMissing(cluster));
  return faults;
}

/** What of the data is not as safe as it should be. */
export function copiesMissing(cluster: UpgradeCluster): readonly string[] {
  const faults = cluster.devicesAway.map((device) => `${device} is not connected`);
  if (cluster.unavailableCombs > 0)
    faults.push(`${cluster.unavailableCombs} combs are unavailable`);
  if (cluster.degradedCombs > 0) faults.push(`${cluster.degradedCombs} combs lack a copy`);
  return faults;
}
