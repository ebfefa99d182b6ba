// Plays Fuel: lays the emitted plugin and the facts on the machines as Fuel does, and runs the plugin's tasks in the order of
// its own graph (or of its stages), as root, in the plugin's folder. It must never call the deployer itself.

import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { parse } from 'yaml';
import { factsText } from '../support/deploy-facts.js';
import type { FactsShape, Fixture } from '../support/deploy-facts.js';
import { nameOf } from './environment.js';
import type { Lab, Machine } from './machines.js';

const REPOSITORY = '/var/www/nailgun/plugins/meshsan';

interface PluginTask {
  readonly id: string;
  readonly role: readonly string[];
  readonly cmd: string;
  readonly oneByOne: boolean;
  /** Tasks that come before. */
  readonly after: readonly string[];
}

export interface TaskOutcome {
  readonly task: string;
  readonly node: string;
  readonly code: number;
  readonly output: string;
}

/** What a whole run did. */
export interface FuelRun {
  readonly outcomes: readonly TaskOutcome[];
  readonly changed: number;
  /** The task that failed, or null. */
  readonly failed: TaskOutcome | null;
}

interface GraphRow {
  readonly id: string;
  readonly type: string;
  readonly role: readonly string[];
  readonly requires?: readonly string[];
  readonly 'cross-depends'?: readonly { readonly name: string }[];
  readonly parameters: {
    readonly cmd: string;
    readonly strategy?: { readonly type: string };
  };
}

interface StageRow {
  readonly role: readonly string[];
  readonly stage: string;
  readonly parameters: { readonly cmd: string };
}

function graphOf(text: string): PluginTask[] {
  return (parse(text) as GraphRow[])
    .filter(({ type }) => type === 'shell')
    .map((row) => ({
      id: row.id,
      role: row.role,
      cmd: row.parameters.cmd,
      oneByOne: row.parameters.strategy?.type === 'one_by_one',
      after: [
        ...(row.requires ?? []),
        ...(row['cross-depends'] ?? []).map(({ name }) => name),
        // Everything before the deployment comes before everything behind it.
        ...(row.requires?.includes('post_deployment_start') === true ? ['meshsan-host-check'] : []),
      ],
    }));
}

function stagesOf(text: string): PluginTask[] {
  const rank = ({ stage }: StageRow): number =>
    Number(stage.split('/')[1] ?? 0) + (stage.startsWith('pre_') ? -1e6 : 0);
  return (parse(text) as StageRow[])
    .sort((a, b) => rank(a) - rank(b))
    .map(({ role, parameters: { cmd } }) => ({ id: cmd, role, cmd, oneByOne: false, after: [] }));
}

/** Tasks in an order in which each comes behind those that it waits for. */
function ordered(tasks: readonly PluginTask[]): PluginTask[] {
  const known = new Set(tasks.map(({ id }) => id));
  const done: PluginTask[] = [];
  const open = [...tasks];
  while (open.length > 0) {
    const index = open.findIndex(({ after }) =>
      after.every((id) => !known.has(id) || done.some((task) => task.id === id)),
    );
    const [next] = index < 0 ? [] : open.splice(index, 1);
    if (next === undefined) throw new Error('the tasks wait for each other');
    done.push(next);
  }
  return done;
}

export class Fuel {
  readonly #lab: Lab;
  readonly #plugins: string;

  /** @param plugins - folder with the emitted plugins */
  constructor(lab: Lab, plugins: string) {
    this.#lab = lab;
    this.#plugins = plugins;
  }

  #folder(version: string): string {
    return join(this.#plugins, `meshsan-${version}`);
  }

  /** Makes the index of a plugin's repository, as Fuel's builder does. */
  async index(version: string): Promise<void> {
    const repository = join(this.#folder(version), 'repositories/ubuntu');
    const index = await execa('dpkg-scanpackages', ['--multiversion', '.'], { cwd: repository });
    writeFileSync(join(repository, 'Packages'), `${index.stdout}\n`);
  }

  /** Scripts and the package repository, where Fuel puts them. */
  async install(machine: Machine, version: string): Promise<void> {
    const scripts = machine.path(`/etc/fuel/plugins/meshsan-${version}`);
    mkdirSync(scripts, { recursive: true });
    cpSync(join(this.#folder(version), 'deployment_scripts'), scripts, { recursive: true });
    const repository = machine.path(REPOSITORY);
    rmSync(repository, { recursive: true, force: true });
    cpSync(join(this.#folder(version), 'repositories/ubuntu'), repository, { recursive: true });
    const list = machine.path(`/etc/apt/sources.list.d/meshsan-${version}.list`);
    writeFileSync(list, `deb [trusted=yes] file:${REPOSITORY} ./\n`);
    await machine.run(
      ...['apt-get', 'update', '-qq', '-o', 'Dir::Etc::sourceparts=-'],
      ...['-o', 'APT::Get::List-Cleanup=0'],
      ...['-o', `Dir::Etc::sourcelist=/etc/apt/sources.list.d/meshsan-${version}.list`],
    );
  }

  /** The facts of a node, readable by root only. */
  layFacts(machine: Machine, shape: FactsShape, made: Fixture): void {
    const uid = Number(machine.name.split('-')[1]);
    const path = machine.path('/etc/astute.yaml');
    writeFileSync(path, factsText(shape, made, uid), { mode: 0o600 });
    chmodSync(path, 0o600);
  }

  #tasks(version: string): PluginTask[] {
    const file = version === '6.1' ? 'tasks.yaml' : 'deployment_tasks.yaml';
    const text = readFileSync(join(this.#folder(version), file), 'utf8');
    return version === '6.1' ? stagesOf(text) : ordered(graphOf(text));
  }

  /** Deploys: lays the facts on all nodes of the environment and runs all tasks; stops at the first that fails. */
  async deploy(version: string, shape: FactsShape, made: Fixture): Promise<FuelRun> {
    for (const { uid } of made.nodes) this.layFacts(this.#lab.machine(nameOf(uid)), shape, made);
    const outcomes: TaskOutcome[] = [];
    for (const task of this.#tasks(version)) {
      const machines = made.nodes
        .filter(({ roles }) => roles.some((role) => task.role.includes(role)))
        .map(({ uid }) => this.#lab.machine(nameOf(uid)));
      outcomes.push(...(await this.#runTask(task, machines, version)));
      const failed = outcomes.find(({ code }) => code !== 0);
      if (failed !== undefined) return { outcomes, changed: changedBy(outcomes), failed };
    }
    return { outcomes, changed: changedBy(outcomes), failed: null };
  }

  async #runTask(
    task: PluginTask,
    machines: readonly Machine[],
    version: string,
  ): Promise<TaskOutcome[]> {
    const command = `cd /etc/fuel/plugins/meshsan-${version} && ${task.cmd}`;
    const one = async (machine: Machine): Promise<TaskOutcome> => {
      const { code, stdout, stderr } = await machine.try('bash', '-c', command);
      return { task: task.id, node: machine.name, code, output: `${stderr}\n${stdout}`.trim() };
    };
    if (!task.oneByOne) return Promise.all(machines.map(one));
    const outcomes: TaskOutcome[] = [];
    for (const machine of machines) outcomes.push(await one(machine));
    return outcomes;
  }
}

/** Sum of what the tasks say they changed. */
function changedBy(outcomes: readonly TaskOutcome[]): number {
  return outcomes.reduce((sum, { output }) => {
    const match = /: (\d+) changed$/.exec(output);
    return sum + (match === null ? 0 : Number(match[1]));
  }, 0);
}
