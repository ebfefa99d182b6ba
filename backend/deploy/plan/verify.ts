// Whether the deployment is as it should be: every server and client of the environment connected, every device up, every
// gateway usable, also through the virtual address. It must never change anything.

import { controllersOf, devicesOf } from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import { planned, refused } from './model.js';
import type { ClusterView, Context, Plan, Questions } from './model.js';
import { isClient, isServer } from './roles.js';

export const verifyQuestions = (environment: Environment): Questions => ({
  cluster: 'needed',
  agents: environment.nodes.map((node) => node.managementAddress),
  gateways: [
    ...controllersOf(environment).map((node) => node.managementAddress),
    environment.managementVip,
  ],
});

function serverFaults(
  environment: Environment,
  node: EnvironmentNode,
  view: ClusterView,
): string[] {
  const sds = view.sds.find(({ name }) => name === node.name);
  if (sds?.connected !== true)
    return [`SDS ${node.name} is ${sds === undefined ? 'not in the cluster' : 'not connected'}`];
  const failed = sds.devices.filter(({ failure }) => failure !== '');
  if (failed.length > 0)
    return failed.map(({ path, failure }) => `device ${path} of ${node.name} failed: ${failure}`);
  const wanted = devicesOf(environment, node).length;
  const up = sds.devices.filter(({ connected }) => connected).length;
  return up < wanted ? [`${up} of ${wanted} devices of ${node.name} are up`] : [];
}

function clientFaults(node: EnvironmentNode, view: ClusterView): string[] {
  const sdc = view.sdcs.find(({ name }) => name === node.name);
  return sdc?.connected === true ? [] : [`client ${node.name} is not connected`];
}

function agentFaults({ environment, seen, version }: Context): string[] {
  return environment.nodes.flatMap(({ name, managementAddress }) => {
    const agent = seen.agents.get(managementAddress);
    if (agent === undefined) return [];
    if (agent.fault !== null) return [`the agent of ${name}: ${agent.fault}`];
    const others = agent.packages.filter(
      ({ name: of, state, version: has }) =>
        of.startsWith('meshsan-') && state === 'installed' && has !== version,
    );
    return [
      ...others.map((row) => `${row.name} on ${name} is ${row.version} instead of ${version}`),
      ...agent.failed.map((unit) => `${unit} failed on ${name}`),
    ];
  });
}

export function planVerify(context: Context): Plan {
  const { environment, seen } = context;
  const view = seen.cluster;
  if (view === null) return refused('no MDM answers');
  const faults = environment.nodes.flatMap((node) => [
    ...(isServer(environment, node) ? serverFaults(environment, node, view) : []),
    ...(isClient(node) ? clientFaults(node, view) : []),
  ]);
  for (const mdm of view.mdms)
    if (!mdm.up) faults.push(`the MDM ${mdm.name} (${mdm.host}) does not answer`);
  for (const [host, fault] of seen.gateways)
    if (fault !== null) faults.push(`the gateway at ${host} cannot be used: ${fault}`);
  faults.push(...agentFaults(context));
  if (view.unavailableCombs > 0)
    faults.push(`${view.unavailableCombs} placement groups have no copy that is up`);
  if (faults.length > 0) return refused(...faults);
  const devices = view.sds.reduce((sum, sds) => sum + sds.devices.length, 0);
  const members = view.mdms.filter(({ member }) => member);
  const notes = [
    `system ${view.systemId}: MDM cluster ${members.length}_node, ${view.sds.length} SDSs, ${devices} devices, ${view.sdcs.length} clients, ${seen.gateways.size} gateway addresses, ${seen.agents.size} agents: all in order`,
  ];
  if (view.degradedCombs > 0)
    notes.push(`${view.degradedCombs} placement groups have fewer copies than wanted`);
  return planned([], notes);
}
