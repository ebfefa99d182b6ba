// The deployment tasks of the plugin, made from the deployer's table: a list with stages for Fuel 6.1, a graph for later
// releases. All tasks run after OpenStack is deployed, except the check of the host, which comes before anything. It
// must never name a task that the deployer does not have.

import { STORAGE_ROLE } from '../backend/deploy/environment/astute.js';
import { TASKS } from '../backend/deploy/plan/tasks.js';
import type { Task, TaskRoles } from '../backend/deploy/plan/tasks.js';
import { HOST_CHECK, SCRIPT } from './script.js';
import type { Format } from './model.js';

type Json = Readonly<Record<string, unknown>>;

const CONTROLLERS = ['primary-controller', 'controller'] as const;
const FIRST_STAGE = 2000;
const STAGE_STEP = 10;
const HOST_CHECK_SECONDS = 60;
const GRACE_SECONDS = 60;
/** What a node of our own role gets from Fuel; without hiera and globals its /etc/hosts would break. */
const CORE_TASKS = [
  'hiera',
  'setup_repositories',
  'fuel_pkgs',
  'globals',
  'tools',
  'logging',
  'netconfig',
  'hosts',
  'firewall',
];

export const taskName = (id: string): string => `meshsan-${id}`;

/** Fuel's roles that run a task; our own is known from 3.0.0 on. */
function rolesOf(roles: TaskRoles, own: boolean): string[] {
  const storage = own ? [STORAGE_ROLE] : [];
  switch (roles) {
    case 'all':
      return [...CONTROLLERS, 'compute', 'cinder', ...storage];
    case 'controllers':
      return [...CONTROLLERS];
    case 'primary':
      return ['primary-controller'];
    case 'storage':
      return [...CONTROLLERS, 'compute', ...storage];
    case 'clients':
      return ['compute', 'cinder'];
    case 'volumes':
      return [...CONTROLLERS, 'cinder'];
    case 'compute':
      return ['compute'];
  }
}

const commandOf = (id: string): string => `bash ${SCRIPT} ${id}`;

/** tasks.yaml of 2.0.0. The numbers behind the stages are the order. */
export function legacyTasks(): Json[] {
  const check = {
    role: rolesOf('all', false),
    stage: 'pre_deployment/100',
    type: 'shell',
    parameters: { cmd: commandOf(HOST_CHECK), timeout: HOST_CHECK_SECONDS },
  };
  const tasks = Object.entries<Task>(TASKS).map(([id, task], index) => ({
    role: rolesOf(task.roles, false),
    stage: `post_deployment/${FIRST_STAGE + index * STAGE_STEP}`,
    type: 'shell',
    parameters: { cmd: commandOf(id), timeout: task.timeoutSeconds + GRACE_SECONDS },
  }));
  return [check, ...tasks];
}

const groupTask: Json = {
  id: STORAGE_ROLE,
  type: 'group',
  role: [STORAGE_ROLE],
  requires: ['deploy_start'],
  required_for: ['deploy_end'],
  tasks: CORE_TASKS,
  parameters: { strategy: { type: 'parallel' } },
};

function graphTask(
  { crossNode }: Format,
  id: string,
  task: Task,
  previous: { readonly id: string; readonly roles: TaskRoles } | null,
): Json {
  return {
    id: taskName(id),
    type: 'shell',
    ...(crossNode ? { version: '2.1.0' } : {}),
    role: rolesOf(task.roles, true),
    requires: ['post_deployment_start', ...(previous === null ? [] : [taskName(previous.id)])],
    required_for: ['post_deployment_end'],
    // On one node `requires` is enough; the task before must also be over on all others.
    ...(crossNode && previous !== null
      ? {
          'cross-depends': [
            { name: taskName(previous.id), role: rolesOf(previous.roles, true), policy: 'all' },
          ],
        }
      : {}),
    // Nodes that are deployed already run it again when others join or leave.
    ...(crossNode ? { reexecute_on: ['deploy_changes'] } : {}),
    parameters: {
      cmd: commandOf(id),
      timeout: task.timeoutSeconds + GRACE_SECONDS,
      retries: 1,
      interval: 5,
      ...(crossNode && task.oneByOne ? { strategy: { type: 'one_by_one' } } : {}),
    },
  };
}

/** deployment_tasks.yaml of 3.0.0 and later. */
export function graphTasks(format: Format): Json[] {
  const check = {
    id: taskName(HOST_CHECK),
    type: 'shell',
    ...(format.crossNode ? { version: '2.1.0' } : {}),
    role: rolesOf('all', true),
    requires: ['pre_deployment_start'],
    required_for: ['pre_deployment_end'],
    ...(format.crossNode ? { reexecute_on: ['deploy_changes'] } : {}),
    parameters: {
      cmd: commandOf(HOST_CHECK),
      timeout: HOST_CHECK_SECONDS,
      retries: 1,
      interval: 5,
    },
  };
  const rows = Object.entries<Task>(TASKS);
  const tasks = rows.map(([id, task], index) => {
    const before = rows[index - 1];
    return graphTask(
      format,
      id,
      task,
      before === undefined ? null : { id: before[0], roles: before[1].roles },
    );
  });
  return [groupTask, check, ...tasks];
}
