// Whether an environment can be deployed at all: enough controllers, one of them primary, no address twice, devices for
// pools. It owns the words of these refusals. It must never look at a machine: that is the pre-check of each node.

import { isIP } from 'node:net';
import { controllersOf, devicesOf, isController } from './model.js';
import type { Environment, EnvironmentNode } from './model.js';

const CONTROLLERS_MIN = 3;
const COMPUTES_MIN = 1;
const STORAGE_NODES_MIN = 3;
const NODES_MAX = 1024;
const NAME = /^[a-z0-9]([a-z0-9-]{0,29}[a-z0-9])?$/;

function checkNode(node: EnvironmentNode): string[] {
  const faults: string[] = [];
  if (!NAME.test(node.name))
    faults.push(
      `the node name "${node.name}" must be a short host name of at most 31 lower-case letters, digits and dashes`,
    );
  for (const [what, address] of [
    ['management', node.managementAddress],
    ['storage', node.storageAddress],
  ] as const)
    if (isIP(address) !== 4)
      faults.push(
        `node ${node.name} needs a ${what} address (IPv4), has ${address === '' ? 'none' : `"${address}"`}`,
      );
  return faults;
}

function duplicates(nodes: readonly EnvironmentNode[]): string[] {
  const faults: string[] = [];
  const seen = new Map<string, string>();
  for (const node of nodes) {
    if (seen.has(`name ${node.name}`)) faults.push(`the node name ${node.name} is used twice`);
    seen.set(`name ${node.name}`, node.name);
    for (const address of new Set([node.managementAddress, node.storageAddress])) {
      const other = seen.get(address);
      if (other !== undefined && address !== '')
        faults.push(`nodes ${other} and ${node.name} have the same address ${address}`);
      seen.set(address, node.name);
    }
  }
  return faults;
}

function checkVips({ managementVip, publicVip, nodes }: Environment): string[] {
  const faults: string[] = [];
  if (isIP(managementVip) !== 4)
    faults.push(
      'the management virtual address is missing (management_vip, or network_metadata.vips.management.ipaddr)',
    );
  if (publicVip !== null && isIP(publicVip) !== 4)
    faults.push(`the public virtual address "${publicVip}" is not an IPv4 address`);
  for (const vip of [managementVip, publicVip])
    for (const { name, managementAddress, storageAddress } of nodes)
      if (vip !== null && vip !== '' && [managementAddress, storageAddress].includes(vip))
        faults.push(`the virtual address ${vip} is the address of node ${name}`);
  return faults;
}

function checkNewCluster(environment: Environment): string[] {
  const faults: string[] = [];
  const { nodes, settings } = environment;
  const controllers = controllersOf(environment);
  if (controllers.length < CONTROLLERS_MIN)
    faults.push(
      `at least ${CONTROLLERS_MIN} controllers are needed, so that managers and tie-breakers outvote a lost one; there ${controllers.length === 1 ? 'is' : 'are'} ${controllers.length}`,
    );
  if (nodes.filter(({ roles }) => roles.includes('compute')).length < COMPUTES_MIN)
    faults.push(`at least ${COMPUTES_MIN} compute node is needed; there is none`);
  const storage = nodes.filter(
    (node) => devicesOf(environment, node).length > 0 || node.roles.includes('storage'),
  );
  if (storage.length < STORAGE_NODES_MIN)
    faults.push(
      `at least ${STORAGE_NODES_MIN} nodes with devices are needed, so that a lost server can be rebuilt; there ${storage.length === 1 ? 'is' : 'are'} ${storage.length}: name devices in the settings (device_paths or node_devices)`,
    );
  for (const list of [settings.nodeDevices, settings.takeover])
    for (const name of list.keys())
      if (!nodes.some((node) => node.name === name))
        faults.push(
          `the settings name devices of ${name}, which is not a node of this environment (${nodes.map((node) => node.name).join(', ')})`,
        );
  return faults;
}

/** Everything that is wrong with an environment; empty: it can be deployed. */
export function environmentFaults(environment: Environment): string[] {
  const { nodes, settings } = environment;
  if (nodes.length > NODES_MAX) return [`at most ${NODES_MAX} nodes are supported`];
  const faults = [...nodes.flatMap(checkNode), ...duplicates(nodes)];
  const primaries = nodes.filter(({ roles }) => roles.includes('primary-controller'));
  if (nodes.some(isController) && primaries.length !== 1)
    faults.push(
      primaries.length === 0
        ? 'no node has the role primary-controller; exactly one must'
        : `${primaries.map(({ name }) => name).join(' and ')} are both primary-controller; exactly one must be`,
    );
  if (settings.existing === null)
    faults.push(...checkNewCluster(environment), ...checkVips(environment));
  return faults;
}
