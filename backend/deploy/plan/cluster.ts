// The plan of what is one for all nodes: the MDM cluster, protection domain, pools with their options, accounts, approval, and the members
// that left the environment. Only the primary controller acts on it. It must never remove a server that holds data which
// has no other place: whether it does, the MDM decides in the same commit.

import type { Environment } from '../environment/model.js';
import { controllersOf } from '../environment/model.js';
import { planManagers } from './managers.js';
import { planned, refused } from './model.js';
import type { ClusterView, Context, Plan, PoolView, Questions, Step } from './model.js';
import { goneNodes, recordSteps } from './deployment-record.js';
import { FILES } from './parts.js';

export const OPENSTACK_USER = 'openstack';

export const clusterQuestions = (environment: Environment): Questions => ({
  files: [FILES.record],
  cluster: 'needed',
  agents: controllersOf(environment).map((node) => node.managementAddress),
});

function poolSteps({ environment, seen }: Context): Step[] {
  const { settings } = environment;
  const domain = settings.protectionDomain;
  return settings.pools.flatMap(({ name, mediaType }): Step[] => {
    const wanted = {
      domain,
      name,
      mediaType,
      durability: settings.durability,
      zeroPadding: settings.zeroPadding,
      checksums: settings.checksums,
      rmcache: settings.rmcache,
      sparePercent: settings.sparePercent,
      alertHighPercent: settings.alertHighPercent,
      alertCriticalPercent: settings.alertCriticalPercent,
    };
    const present = seen.cluster?.pools.find(
      (pool) => pool.name === name && pool.domain === domain,
    );
    if (present === undefined)
      return [
        {
          kind: 'cluster',
          about: `storage pool ${domain}/${name} (${mediaType}, ${settings.durability}, spare ${settings.sparePercent} %)`,
          request: { op: 'addPool', ...wanted },
        },
      ];
    const differing = (Object.keys(wanted) as (keyof typeof wanted & keyof PoolView)[]).filter(
      (key) => present[key] !== wanted[key],
    );
    if (differing.length === 0) return [];
    return [
      {
        kind: 'cluster',
        about: `storage pool ${domain}/${name}: ${differing.map((key) => `${key} ${String(present[key])} becomes ${String(wanted[key])}`).join(', ')}`,
        request: { op: 'setPool', ...wanted },
      },
    ];
  });
}

/** Servers and clients whose nodes left the environment since the last deployment. */
function removalSteps(
  view: ClusterView,
  gone: readonly string[],
): { steps: Step[]; refusals: string[]; notes: string[] } {
  const steps: Step[] = [];
  const refusals: string[] = [];
  const notes: string[] = [];
  const servers = view.sds.filter(({ name }) => gone.includes(name));
  if (servers.length > 1 && view.unavailableCombs > 0)
    refusals.push(
      `the servers ${servers.map(({ name }) => name).join(', ')} left the environment at once and ${view.unavailableCombs} placement groups have no copy; bring one of them back before the others are forgotten`,
    );
  for (const { name, connected } of servers)
    steps.push({
      kind: 'cluster',
      about: `SDS ${name} leaves the cluster, its node left the environment`,
      request: { op: 'removeSds', name, force: !connected },
    });
  for (const { name, connected, mappings } of view.sdcs.filter((sdc) => gone.includes(sdc.name))) {
    if (mappings > 0)
      notes.push(
        `the client ${name} left the environment and still has ${mappings} volumes mapped; it stays until they are unmapped`,
      );
    else if (connected)
      notes.push(`the client ${name} left the environment but still runs; it stays`);
    else
      steps.push({
        kind: 'cluster',
        about: `client ${name} leaves the cluster, its node left the environment`,
        request: { op: 'removeSdc', name },
      });
  }
  return { steps, refusals, notes };
}

/** Domain, pools, account and approval, where they are not as the settings say. */
function contentSteps(context: Context): Step[] {
  const { environment, seen, secrets } = context;
  const { settings } = environment;
  const view = seen.cluster;
  const steps: Step[] = [];
  if (view?.domains.includes(settings.protectionDomain) !== true)
    steps.push({
      kind: 'cluster',
      about: `protection domain ${settings.protectionDomain}`,
      request: { op: 'addDomain', name: settings.protectionDomain },
    });
  steps.push(...poolSteps(context));
  if (view?.users.includes(OPENSTACK_USER) !== true)
    steps.push({
      kind: 'cluster',
      about: `account ${OPENSTACK_USER} for Cinder (frontendConfigure)`,
      request: {
        op: 'addUser',
        name: OPENSTACK_USER,
        role: 'frontendConfigure',
        password: secrets.openstackPassword,
      },
    });
  if ((view?.approval ?? 'none') !== settings.approval)
    steps.push({
      kind: 'cluster',
      about: `approval of clients: ${settings.approval}`,
      request: { op: 'setApproval', approval: settings.approval },
    });
  return steps;
}

export function planCluster(context: Context): Plan {
  const { environment, self, seen } = context;
  const view = seen.cluster;
  const content = contentSteps(context);
  // Without a cluster this only shows what a new one gets.
  if (view === null) return planned([...content, ...recordSteps(context)]);
  const names = environment.nodes.map(({ name }) => name);
  const gone = goneNodes(context);
  const managers = planManagers(environment, view, seen.agents, gone);
  const removal = removalSteps(view, gone);
  if (removal.refusals.length > 0) return refused(...removal.refusals);
  const strangers = view.sds.filter(({ name }) => !names.includes(name) && !gone.includes(name));
  const steps = [...managers.steps, ...content, ...removal.steps, ...recordSteps(context)];
  return planned(steps, [
    ...managers.notes,
    ...removal.notes,
    ...strangers.map(
      ({ name }) =>
        `SDS ${name} is not of this environment; it is left alone (${self.name} did not add it)`,
    ),
  ]);
}
