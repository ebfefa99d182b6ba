// Runs one task on this node: looks, plans, and does or shows the plan. It owns what a run reports; it must never run a task
// for another node.

import { setTimeout as pause } from 'node:timers/promises';
import { VERSION } from '../core/version.js';
import { secretsOf } from './environment/secrets.js';
import { devicesOf } from './environment/model.js';
import type { Environment, EnvironmentNode } from './environment/model.js';
import type { Plan } from './plan/model.js';
import { TASKS } from './plan/tasks.js';
import type { Task, TaskId } from './plan/tasks.js';
import { execute } from './shell/execute.js';
import { PendingSteps } from './shell/pending.js';
import { ownPartitions } from './shell/partitions.js';
import { freshObservation, observe } from './shell/observe.js';

const REPEAT_MS = 1_000;
/** A repeated task is given up a while before whoever runs it loses patience. */
const REPEAT_SHARE = 0.5;

/** What a task did; one JSON object on standard output. */
export interface TaskReport {
  readonly task: TaskId;
  readonly node: string;
  readonly dryRun: boolean;
  /** Sentences of the steps that were done, or would be. */
  readonly steps: readonly string[];
  readonly changed: number;
  readonly notes: readonly string[];
}

/** The pre-conditions of a task are not met; nothing was changed. */
export class TaskRefused extends Error {
  override readonly name = 'TaskRefused';
  readonly refusals: readonly string[];

  constructor(refusals: readonly string[]) {
    super(refusals.join('\n'));
    this.refusals = refusals;
  }
}

interface Place {
  readonly environment: Environment;
  readonly self: EnvironmentNode;
}

export interface TaskRun extends Place {
  readonly task: TaskId;
  readonly dryRun: boolean;
  /** One line for people. */
  readonly say: (line: string) => void;
}

/** A node for which nobody named devices serves the partitions that Fuel made for us on it. */
async function withOwnPartitions({ environment, self }: TaskRun): Promise<Place> {
  const { settings } = environment;
  if (settings.existing !== null || devicesOf(environment, self).length > 0)
    return { environment, self };
  const pool = settings.pools[0]?.name ?? '';
  const devices = (await ownPartitions()).map((path) => ({ path, pool }));
  if (devices.length === 0) return { environment, self };
  const own = { ...self, devices };
  const nodes = environment.nodes.map((node) => (node === self ? own : node));
  return { environment: { ...environment, nodes }, self: own };
}

/**
 * Runs a task.
 *
 * @throws TaskRefused when it must not run; StepError when a step failed
 */
export async function runTask(run: TaskRun): Promise<TaskReport> {
  const { task: id, dryRun, say } = run;
  const { environment, self } = await withOwnPartitions(run);
  const task: Task = TASKS[id];
  const report = { task: id, node: self.name, dryRun, notes: [] as readonly string[] };
  if (!task.applies(environment, self)) return { ...report, steps: [], changed: 0 };
  const secrets = await secretsOf(environment, Date.now());
  const deadline = Date.now() + task.timeoutSeconds * 1000 * REPEAT_SHARE;
  let plan: Plan;
  for (;;) {
    const seen = await observe(task.ask(environment, self), environment, secrets, dryRun);
    plan = task.plan({ environment, self, seen, secrets, version: VERSION });
    if (plan.refusals.length === 0 || !task.repeats || dryRun || Date.now() > deadline) break;
    await pause(REPEAT_MS);
  }
  if (plan.refusals.length > 0) throw new TaskRefused(plan.refusals);
  const pending = new PendingSteps(id);
  const all = pending.completed(plan.steps);
  const steps = all.map(({ about }) => about);
  for (const note of plan.notes) say(`${self.name} ${id}: ${note}`);
  if (dryRun) for (const step of steps) say(`${self.name} ${id}: would: ${step}`);
  if (dryRun) return { ...report, steps, changed: 0, notes: plan.notes };
  pending.begin(all);
  const changed = await execute(all, {
    environment,
    secrets,
    progress: ({ about }) => {
      say(`${self.name} ${id}: ${about}`);
    },
  });
  pending.end();
  return { ...report, steps, changed, notes: plan.notes };
}

/** What a task would do on a node that has nothing yet, without looking at it. */
export async function planFromNothing(
  environment: Environment,
  self: EnvironmentNode,
  task: TaskId,
): Promise<TaskReport> {
  const nothing = { task, node: self.name, dryRun: true, changed: 0 };
  const row: Task = TASKS[task];
  // Only what is there can be checked.
  if (!row.applies(environment, self) || task === 'verify')
    return { ...nothing, steps: [], notes: [] };
  const secrets = await secretsOf(environment, Date.now());
  const seen = freshObservation(environment, self);
  const plan = row.plan({ environment, self, seen, secrets, version: VERSION });
  return { ...nothing, steps: plan.steps.map(({ about }) => about), notes: plan.notes };
}
