// The environment that the deployment test works with: three controllers that also run Cinder, two compute nodes of which
// the second joins later, a disk each. It owns its addresses, its inventory and its facts.

import { stringify } from 'yaml';
import { ENVIRONMENT_KEY } from '../support/deploy-facts.js';
import type { Fixture, FixtureNode } from '../support/deploy-facts.js';
import type { MachineSpec } from './machines.js';

export const MANAGEMENT_VIP = '192.168.0.6';
export const PUBLIC_VIP = '172.16.0.5';
export const DISK = '/dev/meshsan-disk0';
export const PORT = 4443;

interface TestNode {
  readonly uid: number;
  readonly roles: readonly string[];
  readonly last: number;
}

const NODES: readonly TestNode[] = [
  { uid: 1, roles: ['primary-controller', 'cinder'], last: 11 },
  { uid: 2, roles: ['controller', 'cinder'], last: 12 },
  { uid: 3, roles: ['controller', 'cinder'], last: 13 },
  { uid: 4, roles: ['compute'], last: 14 },
  { uid: 5, roles: ['compute'], last: 15 },
];

export const nameOf = (uid: number): string => `node-${uid}`;
const management = ({ last }: TestNode): string => `192.168.0.${last}`;
const storage = ({ last }: TestNode): string => `192.168.1.${last}`;

export const MACHINES: readonly MachineSpec[] = NODES.map((node) => ({
  name: nameOf(node.uid),
  management: management(node),
  storage: storage(node),
  vips: node.uid === 1 ? [MANAGEMENT_VIP, PUBLIC_VIP] : [],
  disks: [DISK],
}));

const SETTINGS = {
  storage_pools: 'default:SSD',
  device_paths: DISK,
  spare_percent: '10',
  gateway_port: String(PORT),
  cinder_driver: 'both',
};

/**
 * Facts of the environment with the given nodes.
 *
 * @param roles - of single nodes that have others than at first
 */
export function facts(
  uids: readonly number[],
  more: Readonly<Record<string, unknown>> = {},
  roles: ReadonlyMap<number, readonly string[]> = new Map(),
): Fixture {
  return {
    nodes: NODES.filter(({ uid }) => uids.includes(uid)).map((node) => ({
      uid: node.uid,
      roles: roles.get(node.uid) ?? node.roles,
      management: management(node),
      storage: storage(node),
    })),
    settings: { environment_key: ENVIRONMENT_KEY, ...SETTINGS, ...more },
    managementVip: MANAGEMENT_VIP,
    publicVip: PUBLIC_VIP,
  };
}

/** The machine that runs OpenStack in that part of the test: compute and Cinder node of its deployment. */
export const CLOUD_NODE = nameOf(4);

/** Facts of an environment of four whose Cinder and Nova are on one node, the compute node. */
export function cloudFacts(): Fixture {
  const made = facts([1, 2, 3, 4]);
  const rolesOf = ({ uid, roles }: FixtureNode): readonly string[] =>
    nameOf(uid) === CLOUD_NODE ? ['compute', 'cinder'] : roles.filter((role) => role !== 'cinder');
  return { ...made, nodes: made.nodes.map((node) => ({ ...node, roles: rolesOf(node) })) };
}

export interface InventoryParts {
  readonly keyFile: string;
  readonly packages: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** SSH key of single nodes. */
  readonly keys?: ReadonlyMap<number, string>;
}

/** What an environment must be told of a cluster that another environment runs. */
export interface ForeignCluster {
  /** Addresses of all that may be its master. */
  readonly managers: readonly string[];
  readonly secret: string;
  readonly password: string;
  readonly authority: string;
}

/** One node that uses a cluster that is there, as an inventory. */
export function existingInventory(
  uid: number,
  cluster: ForeignCluster,
  parts: Pick<InventoryParts, 'keyFile' | 'packages'>,
): string {
  return stringify({
    name: 'existing-test',
    managementVip: MANAGEMENT_VIP,
    packages: parts.packages,
    ssh: { user: 'root', key: parts.keyFile },
    nodes: NODES.filter((node) => node.uid === uid).map((node) => ({
      name: nameOf(uid),
      roles: ['compute', 'cinder'],
      management: management(node),
      storage: storage(node),
    })),
    settings: {
      existing_cluster: true,
      gateway_ip: MANAGEMENT_VIP,
      gateway_user: 'admin',
      gateway_password: cluster.password,
      gateway_ca: cluster.authority,
      mdm_addresses: cluster.managers.join(','),
      system_secret: cluster.secret,
      storage_pools: SETTINGS.storage_pools,
      gateway_port: SETTINGS.gateway_port,
      cinder_driver: SETTINGS.cinder_driver,
    },
  });
}

/** The same as an inventory. */
export function inventory(uids: readonly number[], parts: InventoryParts): string {
  return stringify({
    name: 'deploy-test',
    managementVip: MANAGEMENT_VIP,
    publicVip: PUBLIC_VIP,
    packages: parts.packages,
    ssh: { user: 'root', key: parts.keyFile },
    nodes: NODES.filter(({ uid }) => uids.includes(uid)).map((node) => {
      const key = parts.keys?.get(node.uid);
      return {
        name: nameOf(node.uid),
        roles: node.roles,
        management: management(node),
        storage: storage(node),
        ...(key === undefined ? {} : { ssh: { key } }),
      };
    }),
    settings: { ...SETTINGS, ...parts.settings },
  });
}
