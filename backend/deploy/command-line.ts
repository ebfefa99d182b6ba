// The deployer's command line: which verbs and flags there are, what they print, and its exit codes. It must never decide
// what is deployed.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { VERSION } from '../core/version.js';
import { UsageError, readCommandLine } from '../runtime/flags.js';
import type { FlagValues } from '../runtime/flags.js';
import { helpText, manualAnswer } from '../runtime/manual.js';
import type { Manual } from '../runtime/manual.js';
import { PrivateFileError, readPrivateFile } from '../runtime/secret-file.js';
import { readFacts } from './environment/astute.js';
import { readInventory } from './environment/inventory.js';
import { EnvironmentError } from './environment/model.js';
import type { Environment, EnvironmentNode } from './environment/model.js';
import { OperatorState } from './operator-state.js';
import { DeploymentStopped, deploy } from './orchestrate.js';
import { managersOf, managersText } from './plan/managers.js';
import { TASK_IDS } from './plan/tasks.js';
import { removalAnswer } from './removal.js';
import { TaskRefused, planFromNothing, runTask } from './run-task.js';
import type { TaskReport } from './run-task.js';
import { ClusterUnreachable } from './shell/cluster.js';
import { StepError } from './shell/execute.js';
import { UpgradeRefused, UpgradeStopped, upgrade } from './upgrade.js';
import { accessOf, localAccess } from './upgrade-access.js';

export const EXIT = { done: 0, usage: 1, input: 2, refused: 3, failed: 4 } as const;

const MANUAL: Manual = {
  name: 'meshsan-deploy',
  section: 8,
  summary: 'deploys MeshSAN on the nodes of an OpenStack environment',
  synopsis: ['meshsan-deploy VERB [FLAGS]'],
  description: [
    'Deploys managers, servers, clients, agents, gateways behind HAProxy, Cinder and Nova. Every run looks first and changes only what differs; a run that stopped is simply run again.',
  ],
  parts: [
    {
      title: 'Verbs',
      rows: [
        {
          term: 'apply --inventory FILE [--state DIR] [--dry-run]',
          about: 'deploy all nodes over SSH (no Fuel needed)',
        },
        {
          term: 'plan (--facts FILE | --inventory FILE)',
          about: 'show nodes, managers and, per task, what a new deployment does',
        },
        {
          term: 'task NAME (--facts FILE | --inventory FILE --key-file FILE --node NODE) [--dry-run]',
          about: `one task on this node: ${TASK_IDS.join(', ')}`,
        },
        {
          term: 'may-remove NODE (--facts FILE | --inventory FILE --key-file FILE)',
          about: 'whether a node may leave the environment now; asks the cluster',
        },
        {
          term: 'upgrade --packages DIR (--facts FILE | --inventory FILE | --host H... [--mdm H...]) [--resume] [--finish] [--dry-run]',
          about:
            'bring a running cluster to the version of DIR, or back, node by node through their agents: each node rests meanwhile (instant maintenance mode), and the next one begins when all data has all its copies again; stops at the first fault',
        },
      ],
    },
    {
      title: 'Flags',
      rows: [
        {
          term: '--facts FILE',
          about: 'facts of this node as Fuel writes them (/etc/astute.yaml)',
        },
        { term: '--inventory FILE', about: 'nodes, SSH access and settings in YAML' },
        {
          term: '--state DIR',
          about:
            "keeps the environment's key and the hosts' keys; default: FILE.state beside the inventory",
        },
        {
          term: '--host H',
          about: 'upgrade: where the agent of a node listens; may be given more than once',
        },
        {
          term: '--secrets DIR',
          about:
            'upgrade with --host: holds lia-token, secret and lia-signer-key.pem of the system (/etc/meshsan)',
        },
        { term: '--mdm H', about: 'upgrade: where an MDM listens, if not on one of the nodes' },
        { term: '--packages DIR', about: 'upgrade: what npm run packages made' },
        {
          term: '--resume',
          about:
            'upgrade: go on where one stopped: an SDS may be in maintenance mode, copies may be missing',
        },
        {
          term: '--finish',
          about:
            'upgrade: raise the cluster version at the end; what came with it can be used then, and there is no way back',
        },
        { term: '--dry-run', about: 'look and say what would be done; change nothing' },
        {
          term: '--json',
          about: 'one JSON object on standard output; progress goes to standard error',
        },
        { term: '--help', about: 'this text' },
        { term: '--man', about: 'this text as a manual page' },
      ],
    },
    {
      title: 'Exit codes',
      rows: [
        { term: String(EXIT.done), about: 'done' },
        { term: String(EXIT.usage), about: 'wrong usage' },
        { term: String(EXIT.input), about: 'facts, inventory or settings refused' },
        { term: String(EXIT.refused), about: 'refused by a check; nothing was changed' },
        {
          term: String(EXIT.failed),
          about:
            'stopped: a step failed or a node could not be reached; what was done stays, and the next run goes on from there',
        },
      ],
    },
  ],
  seeAlso: ['meshsan-setup(8)', 'meshsan-lia(1)'],
};

const FLAGS = {
  facts: { type: 'string' },
  inventory: { type: 'string' },
  state: { type: 'string' },
  'key-file': { type: 'string' },
  node: { type: 'string' },
  host: { type: 'string', multiple: true },
  mdm: { type: 'string', multiple: true },
  packages: { type: 'string' },
  secrets: { type: 'string' },
  resume: { type: 'boolean' },
  finish: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;
type Flags = FlagValues<typeof FLAGS>;

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new EnvironmentError(path, [(error as Error).message]);
  }
}

/** /etc/hiera/nodes.yaml may know newer nodes than the facts; only beside the real facts. */
function newerNodes(factsPath: string): string | null {
  const path = join(dirname(resolve(factsPath)), 'hiera', 'nodes.yaml');
  return existsSync(path) ? readText(path) : null;
}

interface Place {
  readonly environment: Environment;
  /** null: no node was named. */
  readonly self: EnvironmentNode | null;
  readonly notes: readonly string[];
}

function nodeNamed(environment: Environment, name: string): EnvironmentNode {
  const found = environment.nodes.find((node) => node.name === name);
  if (found === undefined)
    throw new UsageError(
      `${name} is not a node of the environment (${environment.nodes.map((node) => node.name).join(', ')})`,
    );
  return found;
}

function placeOf(flags: Flags): Place {
  const { facts, inventory, node } = flags;
  if ((facts === null) === (inventory === null))
    throw new UsageError('name either --facts FILE or --inventory FILE');
  if (facts !== null) return readFacts(facts, readText(facts), newerNodes(facts));
  const path = inventory ?? '';
  const keyFile = flags['key-file'];
  const key = keyFile === null ? '' : readPrivateFile(keyFile).trim();
  const read = readInventory(path, readText(path), key);
  const self = node === null ? null : nodeNamed(read.environment, node);
  return { environment: read.environment, self, notes: read.notes };
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

function print(flags: Flags, report: object, text: string): void {
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${text}\n`);
}

async function task(name: string | undefined, flags: Flags): Promise<void> {
  const id = TASK_IDS.find((known) => known === name);
  if (id === undefined) throw new UsageError(`task must be one of ${TASK_IDS.join(', ')}`);
  const { environment, self, notes } = placeOf(flags);
  if (self === null) throw new UsageError('name the node with --node');
  for (const note of notes) say(`${self.name}: ${note}`);
  const dryRun = flags['dry-run'];
  const report = await runTask({ environment, self, task: id, dryRun, say });
  print(flags, report, summary(report));
}

function summary({ task: id, node, dryRun, steps, changed }: TaskReport): string {
  return dryRun
    ? `${node} ${id}: would change ${steps.length}`
    : `${node} ${id}: ${changed} changed`;
}

async function plan(flags: Flags): Promise<void> {
  const { environment, self, notes } = placeOf(flags);
  const nodes = self === null ? environment.nodes : [self];
  const reports: TaskReport[] = [];
  for (const id of TASK_IDS)
    for (const node of nodes) reports.push(await planFromNothing(environment, node, id));
  const text = [
    ...environment.nodes.map(
      (node) =>
        `${node.name.padEnd(16)} ${node.managementAddress.padEnd(15)} ${node.storageAddress.padEnd(15)} ${node.roles.join(', ')}`,
    ),
    ...(environment.settings.existing === null ? [managersText(environment)] : []),
    ...notes,
    ...reports.flatMap(({ task: id, node, steps }) =>
      steps.map((step) => `${id}: ${node}: ${step}`),
    ),
  ];
  const managers = managersOf(environment);
  print(flags, { nodes: environment.nodes, managers, notes, tasks: reports }, text.join('\n'));
}

async function apply(flags: Flags): Promise<void> {
  const { inventory } = flags;
  if (inventory === null) throw new UsageError('apply needs --inventory FILE');
  const inventoryPath = resolve(inventory);
  const stateDir = resolve(flags.state ?? `${inventoryPath}.state`);
  readText(inventoryPath);
  const dryRun = flags['dry-run'];
  const report = await deploy({ inventoryPath, stateDir, dryRun, say });
  const steps = report.tasks.reduce((sum, row) => sum + row.steps.length, 0);
  print(flags, report, dryRun ? `would change at least ${steps}` : `${report.changed} changed`);
}

async function mayRemove(name: string | undefined, flags: Flags): Promise<void> {
  if (name === undefined) throw new UsageError('may-remove needs the name of a node');
  const { environment } = placeOf(flags);
  const answer = await removalAnswer(environment, name);
  print(flags, answer, answer.reasons.join('\n'));
  if (!answer.removable) process.exitCode = EXIT.refused;
}

/** A key file lies beside the inventory, unless it is named. */
function upgradePlace(flags: Flags): Environment {
  const { inventory, state } = flags;
  const keyFile = flags['key-file'];
  if (inventory === null || keyFile !== null) return placeOf(flags).environment;
  const path = resolve(inventory);
  const key = new OperatorState(resolve(state ?? `${path}.state`)).environmentKey();
  return readInventory(path, readText(path), key).environment;
}

async function runUpgrade(flags: Flags): Promise<void> {
  const { packages, facts, inventory, host, mdm, resume, finish } = flags;
  if (packages === null) throw new UsageError('upgrade needs --packages DIR');
  const isNamed = facts !== null || inventory !== null;
  const access = isNamed
    ? await accessOf(upgradePlace(flags))
    : localAccess(host, mdm, flags.secrets ?? '/etc/meshsan');
  const dryRun = flags['dry-run'];
  const what = { packages: resolve(packages), resume, finish, dryRun, say };
  const report = await upgrade({ ...access, ...what });
  const { version, clusterVersion, changed } = report;
  print(
    flags,
    report,
    dryRun
      ? `would change ${report.nodes.length} nodes`
      : `${changed} changed; all nodes have ${version}, the cluster version is ${clusterVersion}`,
  );
}

async function dispatch(args: readonly string[]): Promise<void> {
  const manual = manualAnswer(args, MANUAL, VERSION);
  if (manual !== null) {
    process.stdout.write(manual);
    return;
  }
  const { values: flags, words } = readCommandLine(args, FLAGS);
  const [verb, name, ...rest] = words;
  if (flags.help || verb === 'help') {
    process.stdout.write(helpText(MANUAL));
    return;
  }
  if (rest.length > 0) throw new UsageError(`unexpected "${rest.join(' ')}"`);
  switch (verb) {
    case 'apply':
      return apply(flags);
    case 'plan':
      return plan(flags);
    case 'task':
      return task(name, flags);
    case 'may-remove':
      return mayRemove(name, flags);
    case 'upgrade':
      return runUpgrade(flags);
    default:
      throw new UsageError(
        verb === undefined ? 'a verb is missing; see --help' : `unknown verb "${verb}"; see --help`,
      );
  }
}

function exitCode(error: unknown): number | null {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof EnvironmentError || error instanceof PrivateFileError) return EXIT.input;
  if (error instanceof TaskRefused || error instanceof UpgradeRefused) return EXIT.refused;
  const stopped = [UpgradeStopped, DeploymentStopped, StepError, ClusterUnreachable];
  if (stopped.some((kind) => error instanceof kind)) return EXIT.failed;
  return null;
}

/** Runs the command line; faults that people can heal are sentences, others show where they came from. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    await dispatch(args);
  } catch (error) {
    const code = exitCode(error);
    if (code === null) {
      say(`MeshSAN: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      process.exitCode = EXIT.failed;
      return;
    }
    say(`MeshSAN: ${(error as Error).message}`);
    process.exitCode = code;
  }
}
