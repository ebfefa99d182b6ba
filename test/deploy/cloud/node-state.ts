// The OpenStack of one machine of the deployment test, as Debian lays it out: configuration in /etc, services under their
// packages' own systemd units. It owns where things are and which units there are.

import type { CloudState } from '../../openstack/state.js';
import { MANAGEMENT_VIP, PORT } from '../environment.js';

/** Working data that is no package's: secrets, logs of set-up tools, databases' markers, images, Nova's state. */
const ROOT = '/var/lib/openstack-node';

/** The back-end that the machine has before MeshSAN comes: a folder that Cinder's NFS driver takes for a mounted share. */
export const OLD_BACKEND = 'nfs';

/** Units by the order in which they start; those of one group start together. */
export const UNITS = {
  ground: ['mariadb', 'rabbitmq-server'],
  identity: ['keystone'],
  cloud: [
    ...['glance-api', 'placement-api', 'neutron-api', 'nova-api', 'nova-conductor'],
    ...['cinder-api', 'cinder-scheduler', 'cinder-volume', 'virtlogd', 'libvirtd'],
  ],
  compute: ['nova-scheduler', 'nova-compute'],
} as const;

/** @param address - on the management network: where the services listen */
export function describeNode(address: string): CloudState {
  return {
    scope: 'full',
    root: ROOT,
    etc: '/etc',
    run: `${ROOT}/run`,
    log: `${ROOT}/log`,
    openrc: '/root/openrc',
    cluster: `${ROOT}/unused`,
    databaseSocket: '/run/mysqld/mysqld.sock',
    memcacheSocket: '/run/memcached/memcached.sock',
    address,
    ports: {
      ...{ keystone: 5000, cinder: 8776, glance: 9292, placement: 8778, nova: 8774, neutron: 9696 },
      ...{ rabbitmq: 5672, rabbitmqPeers: 25672, epmd: 4369 },
    },
  };
}

/** Where the deployed gateways are reached. */
export const GATEWAY = `https://${MANAGEMENT_VIP}:${PORT}`;
/** Said when the guest writes without a pause: now a storage server may be killed. */
export const STREAMS = 'the guest writes';
/** File below the state that says that it was. */
export const KILLED = 'killed';
