// THE table of deployment tasks, in the order in which they run: who runs each, what it asks and how it plans. The Fuel
// plugin's task graph and the inventory's run are both made from it. It must never act.

import { isController } from '../environment/model.js';
import type { Environment, EnvironmentNode } from '../environment/model.js';
import { agentQuestions, planAgent } from './agent.js';
import { clusterQuestions, planCluster } from './cluster.js';
import { haproxyQuestions, planHaproxy } from './haproxy.js';
import type { Context, Plan, Questions } from './model.js';
import {
  cinderQuestions,
  isCinder,
  isCompute,
  novaQuestions,
  planCinder,
  planNova,
  planTypes,
  typesQuestions,
} from './openstack.js';
import { mdmQuestions, planMdm } from './mdm.js';
import {
  gatewayQuestions,
  isClient,
  isNew,
  isServer,
  packagesQuestions,
  planGateway,
  planPackages,
  planPrecheck,
  planSdc,
  planSds,
  precheckQuestions,
  sdcQuestions,
  sdsQuestions,
} from './roles.js';
import { planVerify, verifyQuestions } from './verify.js';

/** Fuel's names of those who may run a task; which of them does something is decided on the node. */
export type TaskRoles =
  'all' | 'controllers' | 'primary' | 'storage' | 'clients' | 'volumes' | 'compute';

export interface Task {
  readonly about: string;
  readonly roles: TaskRoles;
  /** Of one node, waiting included. */
  readonly timeoutSeconds: number;
  /** The whole is done on one node before the next: a service restarts that others need. */
  readonly oneByOne: boolean;
  /** It may fail while others still get ready, and is tried until the time is over. */
  readonly repeats: boolean;
  readonly applies: (environment: Environment, node: EnvironmentNode) => boolean;
  readonly ask: (environment: Environment, node: EnvironmentNode) => Questions;
  readonly plan: (context: Context) => Plan;
}

const task = (row: Omit<Task, 'oneByOne' | 'repeats'> & Partial<Task>): Task => ({
  oneByOne: false,
  repeats: false,
  ...row,
});
const isPrimary = ({ roles }: EnvironmentNode): boolean => roles.includes('primary-controller');

export const TASKS = {
  precheck: task({
    about: 'addresses, memory and devices of this node',
    roles: 'all',
    timeoutSeconds: 120,
    applies: () => true,
    ask: precheckQuestions,
    plan: planPrecheck,
  }),
  packages: task({
    about: 'packages for the roles of this node',
    roles: 'all',
    timeoutSeconds: 900,
    applies: () => true,
    ask: packagesQuestions,
    plan: planPackages,
  }),
  lia: task({
    about: 'agent of this node: report, services, packages',
    roles: 'all',
    timeoutSeconds: 120,
    applies: () => true,
    ask: agentQuestions,
    plan: planAgent,
  }),
  mdm: task({
    about: 'metadata managers: the first makes the system, the others wait to be taken in',
    roles: 'controllers',
    timeoutSeconds: 180,
    applies: (environment, node) => isNew(environment) && isController(node),
    ask: mdmQuestions,
    plan: planMdm,
  }),
  cluster: task({
    about: 'MDM cluster, protection domain, pools, accounts; members that left',
    roles: 'primary',
    timeoutSeconds: 600,
    applies: (environment, node) => isNew(environment) && isPrimary(node),
    ask: clusterQuestions,
    plan: planCluster,
  }),
  sds: task({
    about: 'storage server of this node and its devices',
    roles: 'storage',
    timeoutSeconds: 600,
    oneByOne: true,
    applies: isServer,
    ask: sdsQuestions,
    plan: planSds,
  }),
  sdc: task({
    about: 'client of this node',
    roles: 'clients',
    timeoutSeconds: 180,
    applies: (_, node) => isClient(node),
    ask: sdcQuestions,
    plan: planSdc,
  }),
  gateway: task({
    about: 'REST gateway of this controller',
    roles: 'controllers',
    timeoutSeconds: 180,
    oneByOne: true,
    applies: (environment, node) => isNew(environment) && isController(node),
    ask: gatewayQuestions,
    plan: planGateway,
  }),
  haproxy: task({
    about: 'gateways behind HAProxy',
    roles: 'controllers',
    timeoutSeconds: 120,
    applies: (environment, node) => isNew(environment) && isController(node),
    ask: () => haproxyQuestions,
    plan: planHaproxy,
  }),
  types: task({
    about: 'volume types',
    roles: 'primary',
    timeoutSeconds: 180,
    applies: (_, node) => isPrimary(node),
    ask: typesQuestions,
    plan: planTypes,
  }),
  cinder: task({
    about: "Cinder's back-ends, and its default type where its API is",
    roles: 'volumes',
    timeoutSeconds: 300,
    applies: (_, node) => isCinder(node) || isController(node),
    ask: cinderQuestions,
    plan: planCinder,
  }),
  nova: task({
    about: "Nova's configuration",
    roles: 'compute',
    timeoutSeconds: 300,
    applies: (_, node) => isCompute(node),
    ask: novaQuestions,
    plan: planNova,
  }),
  verify: task({
    about: 'everything is connected and usable',
    roles: 'primary',
    timeoutSeconds: 240,
    repeats: true,
    applies: (environment, node) => isNew(environment) && isPrimary(node),
    ask: verifyQuestions,
    plan: planVerify,
  }),
} as const satisfies Readonly<Record<string, Task>>;

export type TaskId = keyof typeof TASKS;
export const TASK_IDS = Object.keys(TASKS) as TaskId[];
