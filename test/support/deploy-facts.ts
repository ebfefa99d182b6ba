// Facts files of made-up environments in the three shapes that Fuel wrote over the years. It owns the fixtures of the
// deployer's tests; addresses are those of Fuel's own examples.

import { stringify } from 'yaml';

export interface FixtureNode {
  readonly uid: number;
  readonly roles: readonly string[];
  readonly management: string;
  readonly storage: string;
  /** Attributes of the node in our section (9.0 and later). */
  readonly section?: Readonly<Record<string, string>>;
}

export interface Fixture {
  readonly nodes: readonly FixtureNode[];
  readonly settings: Readonly<Record<string, unknown>>;
  readonly managementVip: string;
  readonly publicVip: string;
}

export type FactsShape = '6.1' | '8.0' | '10.0';

export const ENVIRONMENT_KEY = '0123456789abcdef'.repeat(4);
const DOMAIN = 'test.domain.local';
const nameOf = ({ uid }: FixtureNode): string => `node-${uid}`;
const fqdnOf = (node: FixtureNode): string => `${nameOf(node)}.${DOMAIN}`;

/** Three controllers that also run Cinder, and one compute node. */
export function fixture(overrides: Partial<Fixture> = {}): Fixture {
  const node = (uid: number, last: number, ...roles: string[]): FixtureNode => ({
    uid,
    roles,
    management: `192.168.0.${last}`,
    storage: `192.168.1.${last}`,
  });
  return {
    nodes: [
      node(128, 2, 'primary-controller', 'cinder'),
      node(129, 3, 'controller', 'cinder'),
      node(131, 4, 'controller', 'cinder'),
      node(132, 5, 'compute'),
    ],
    settings: { environment_key: ENVIRONMENT_KEY, device_paths: '/dev/sdb' },
    managementVip: '192.168.0.6',
    publicVip: '172.16.0.5',
    ...overrides,
  };
}

function flatNodes({ nodes }: Fixture, sections: boolean): object[] {
  return nodes.flatMap((node) =>
    node.roles.map((role) => ({
      uid: String(node.uid),
      name: nameOf(node),
      fqdn: fqdnOf(node),
      role,
      user_node_name: `Untitled (${node.uid})`,
      swift_zone: String(node.uid),
      internal_address: node.management,
      internal_netmask: '255.255.255.0',
      storage_address: node.storage,
      storage_netmask: '255.255.255.0',
      ...(sections && node.section !== undefined ? { meshsan_node: node.section } : {}),
    })),
  );
}

function metadata({ nodes, managementVip, publicVip }: Fixture): object {
  return {
    nodes: Object.fromEntries(
      nodes.map((node) => [
        nameOf(node),
        {
          uid: String(node.uid),
          name: nameOf(node),
          fqdn: fqdnOf(node),
          user_node_name: `Untitled (${node.uid})`,
          swift_zone: String(node.uid),
          node_roles: node.roles,
          network_roles: {
            'admin/pxe': `10.108.0.${node.uid}`,
            management: node.management,
            'mgmt/vip': node.management,
            storage: node.storage,
            'cinder/iscsi': node.storage,
            ex: null,
          },
        },
      ]),
    ),
    vips: {
      management: {
        ipaddr: managementVip,
        namespace: 'haproxy',
        network_role: 'mgmt/vip',
        node_roles: ['controller', 'primary-controller'],
      },
      public: {
        ipaddr: publicVip,
        namespace: 'haproxy',
        network_role: 'public/vip',
        node_roles: ['controller', 'primary-controller'],
      },
    },
  };
}

/** The facts of one node as an object. */
export function factsObject(
  shape: FactsShape,
  made: Fixture,
  uid: number,
): Record<string, unknown> {
  const self = made.nodes.find((node) => node.uid === uid);
  const [role = 'none'] = self?.roles ?? [];
  const common = {
    uid: String(uid),
    fqdn: `node-${uid}.${DOMAIN}`,
    deployment_mode: 'ha_compact',
    deployment_id: 37,
    fail_if_error: true,
    libvirt_type: 'qemu',
    master_ip: '10.108.0.2',
    access: { user: 'admin', password: 'admin', tenant: 'admin', email: 'admin@localhost' },
    storage: { volumes_lvm: true, volumes_ceph: false, images_ceph: false, osd_pool_size: '2' },
    meshsan: {
      metadata: {
        enabled: true,
        label: 'MeshSAN',
        class: 'plugin',
        toggleable: true,
        weight: 70,
        plugin_id: 1,
      },
      ...made.settings,
    },
  };
  const releases = { '6.1': '2014.2.2-6.1', '8.0': 'liberty-8.0', '10.0': 'newton-10.0' } as const;
  const release = { openstack_version: releases[shape], fuel_version: shape };
  if (shape === '6.1')
    return {
      ...common,
      ...release,
      role,
      nodes: flatNodes(made, false),
      management_vip: made.managementVip,
      public_vip: made.publicVip,
    };
  if (shape === '8.0')
    return {
      ...common,
      ...release,
      role,
      nodes: flatNodes(made, false),
      network_metadata: metadata(made),
      management: { ipaddr: made.managementVip, namespace: 'haproxy', network_role: 'mgmt/vip' },
    };
  return {
    ...common,
    ...release,
    roles: self?.roles ?? [],
    cluster: { id: 37, name: 'one', fuel_version: '10.0', status: 'new', mode: 'ha_compact' },
    release: { name: 'Newton on Ubuntu 16.04', version: 'newton-10.0' },
    nodes: flatNodes(made, true),
    network_metadata: metadata(made),
    plugins: [{ name: 'meshsan', scripts: [], repositories: [] }],
  };
}

/** The facts file of one node. */
export const factsText = (shape: FactsShape, made: Fixture, uid: number): string =>
  stringify(factsObject(shape, made, uid));
