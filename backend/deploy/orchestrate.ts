// Deploys without Fuel: does over SSH what Fuel does: brings packages and facts to the nodes and runs the tasks in the order
// of the table. It owns the order and the stop at the first failure. It must never decide what a node needs: that is
// planned on the node.

import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { hostCheckScript } from './host-check.js';
import { readInventory } from './environment/inventory.js';
import type { Inventory } from './environment/inventory.js';
import type { EnvironmentNode } from './environment/model.js';
import { TASKS, TASK_IDS } from './plan/tasks.js';
import type { Task, TaskId } from './plan/tasks.js';
import { planFromNothing } from './run-task.js';
import type { TaskReport } from './run-task.js';
import { OperatorState } from './operator-state.js';
import { RemoteNode, SshError } from './shell/ssh.js';

const REMOTE_PACKAGES = '/var/cache/meshsan/packages';
const REMOTE_INVENTORY = '/etc/meshsan/inventory.yaml';
const REMOTE_KEY = '/etc/meshsan/environment-key';
const SOURCES = '/etc/apt/sources.list.d/meshsan.list';
const SOURCE_LINE = `deb [trusted=yes] file:${REMOTE_PACKAGES} ./\n`;
/** How the command line begins the sentence of a fault. */
const FAULT = 'MeshSAN: ';
/** The deployer's own packages; everything else is installed by its task. */
const BOOTSTRAP = ['meshsan-runtime', 'meshsan-deploy'];

/** Where a deployment stopped. */
export class DeploymentStopped extends Error {
  override readonly name = 'DeploymentStopped';
  readonly node: string;
  readonly where: string;

  constructor(node: string, where: string, reason: string) {
    super(`stopped at node ${node}, ${where}: ${reason}`);
    this.node = node;
    this.where = where;
  }
}

interface Manifest {
  readonly version: string;
  readonly glibcMin: string;
  readonly packages: readonly { readonly name: string; readonly file: string }[];
}

export interface DeploymentReport {
  readonly changed: number;
  readonly tasks: readonly TaskReport[];
}

export interface DeploymentRun {
  readonly inventoryPath: string;
  readonly stateDir: string;
  readonly dryRun: boolean;
  readonly say: (line: string) => void;
}

function readManifest(folder: string): Manifest {
  const path = join(folder, 'manifest.json');
  if (!existsSync(path))
    throw new Error(
      `${path} is missing; \`packages\` in the inventory must name the folder that npm run packages makes`,
    );
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

/** What a task on a node said when it ended; progress comes before it. */
function faultOf(lines: readonly string[]): string {
  const first = lines.findIndex((line) => line.startsWith(FAULT));
  return lines.slice(Math.max(0, first)).join('\n').replace(FAULT, '').trim();
}

class Deployment {
  readonly #run: DeploymentRun;
  readonly #inventory: Inventory;
  readonly #text: string;
  readonly #state: OperatorState;
  readonly #manifest: Manifest | null;
  readonly #nodes = new Map<string, RemoteNode>();
  readonly #reports: TaskReport[] = [];
  /** Nodes without a deployer, of which only a plan from nothing can be shown. */
  readonly #bare = new Set<string>();
  #changed = 0;

  constructor(run: DeploymentRun) {
    this.#run = run;
    this.#state = new OperatorState(run.stateDir);
    this.#text = readFileSync(run.inventoryPath, 'utf8');
    this.#inventory = readInventory(run.inventoryPath, this.#text, this.#state.environmentKey());
    const folder = this.#inventory.packages;
    this.#manifest = folder === '' ? null : readManifest(folder);
  }

  async all(): Promise<DeploymentReport> {
    try {
      await this.#every('connection', (node) => this.#connect(node));
      await this.#every('check of the host', (node) => this.#checkHost(node));
      await this.#every('deployer', (node) => this.#bootstrap(node));
      for (const id of TASK_IDS) await this.#task(id);
    } finally {
      for (const node of this.#nodes.values()) node.close();
    }
    return { changed: this.#changed, tasks: this.#reports };
  }

  /** Does something on all nodes at once; the first failure is the outcome, after all have ended. */
  async #every(where: string, work: (node: EnvironmentNode) => Promise<void>): Promise<void> {
    const { nodes } = this.#inventory.environment;
    const outcomes = await Promise.allSettled(nodes.map((node) => this.#at(node, where, work)));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #at(
    node: EnvironmentNode,
    where: string,
    work: (node: EnvironmentNode) => Promise<void>,
  ): Promise<void> {
    try {
      await work(node);
    } catch (error) {
      if (error instanceof DeploymentStopped) throw error;
      throw new DeploymentStopped(node.name, where, (error as Error).message);
    }
  }

  #remote(node: EnvironmentNode): RemoteNode {
    const remote = this.#nodes.get(node.name);
    if (remote === undefined) throw new SshError(`${node.name} is not connected`);
    return remote;
  }

  async #connect(node: EnvironmentNode): Promise<void> {
    const target = this.#inventory.ssh.get(node.name);
    if (target === undefined) throw new SshError(`${node.name} has no ssh target`);
    this.#nodes.set(node.name, await RemoteNode.connect(node.name, target, this.#state.knownHosts));
  }

  async #checkHost(node: EnvironmentNode): Promise<void> {
    const script = `${hostCheckScript(this.#manifest?.glibcMin ?? '2.28')}meshsan_host_check\n`;
    const { code, stderr } = await this.#remote(node).run(['sh'], script);
    if (code !== 0) throw new Error(stderr.trim());
  }

  async #checked(node: EnvironmentNode, argv: readonly string[], stdin = ''): Promise<string> {
    const { code, stdout, stderr } = await this.#remote(node).run(argv, stdin);
    if (code !== 0) throw new Error(stderr.trim() || `${argv[0] ?? ''} ended with ${code}`);
    return stdout;
  }

  #note(node: EnvironmentNode, line: string): void {
    this.#changed++;
    this.#run.say(`${node.name} deployer: ${line}`);
  }

  async #ensureFile(
    node: EnvironmentNode,
    path: string,
    text: string,
    mode: string,
  ): Promise<boolean> {
    const { code, stdout } = await this.#remote(node).run(['cat', path]);
    if (code === 0 && stdout === text.replace(/\n$/, '')) return false;
    await this.#remote(node).write(path, text, mode);
    this.#note(node, path);
    return true;
  }

  /** Brings the deployer and what it works with to a node. */
  async #bootstrap(node: EnvironmentNode): Promise<void> {
    if (this.#run.dryRun) {
      const { code } = await this.#remote(node).run(['sh', '-c', 'command -v meshsan-deploy']);
      if (code !== 0) this.#bare.add(node.name);
      return;
    }
    await this.#ensureFile(node, REMOTE_INVENTORY, this.#text, '0600');
    await this.#ensureFile(node, REMOTE_KEY, `${this.#state.environmentKey()}\n`, '0600');
    if (this.#manifest !== null) await this.#sendPackages(node, this.#manifest);
    const wanted = this.#manifest?.version;
    const { stdout } = await this.#remote(node).run([
      'dpkg-query',
      '-W',
      '-f',
      '${Package} ${db:Status-Status} ${Version}\\n',
      'meshsan-*',
    ]);
    const rows = stdout.split('\n').map((line) => line.split(' '));
    const installed = rows.filter(([, status]) => status === 'installed');
    const current = BOOTSTRAP.every((name) =>
      installed.some(
        ([known, , version]) => known === name && (wanted === undefined || version === wanted),
      ),
    );
    if (current) return;
    const others = installed.flatMap(([, , version = '']) => (version === wanted ? [] : [version]));
    if (others.length > 0 && wanted !== undefined) await this.#refuseRunning(node, others);
    if (this.#manifest !== null) await this.#readSources(node);
    // All packages of a node have one version, so those that are there are upgraded along.
    const names = new Set([...BOOTSTRAP, ...installed.map(([name = '']) => name)]);
    const list = [...names].map((name) => (wanted === undefined ? name : `${name}=${wanted}`));
    await this.#checked(node, [
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      'install',
      '-y',
      '-q',
      '--no-install-recommends',
      '--allow-downgrades',
      '-o',
      'DPkg::Lock::Timeout=600',
      ...list,
    ]);
    this.#note(node, `installed ${list.join(' ')}`);
  }

  /** Packages under running services are replaced node by node, not on all at once. */
  async #refuseRunning(node: EnvironmentNode, versions: readonly string[]): Promise<void> {
    const units = ['meshsan-mdm', 'meshsan-sds', 'meshsan-sdc'];
    const { stdout } = await this.#remote(node).run(['systemctl', 'is-active', ...units]);
    if (!stdout.split('\n').includes('active')) return;
    throw new Error(
      `its services run in version ${[...new Set(versions)].join(', ')}: meshsan-deploy upgrade --packages DIR brings a running cluster to another version, node by node`,
    );
  }

  async #sendPackages(node: EnvironmentNode, manifest: Manifest): Promise<void> {
    const folder = this.#inventory.packages;
    const mark = readFileSync(join(folder, 'manifest.json'), 'utf8');
    const markPath = `${REMOTE_PACKAGES}/manifest.json`;
    const { code, stdout } = await this.#remote(node).run(['cat', markPath]);
    if (code !== 0 || stdout !== mark.replace(/\n$/, '')) {
      const staging = '/var/tmp/meshsan-packages';
      // Whoever logged in sends the files; nobody else may touch them before they are root's.
      const owner = '"${SUDO_USER:-root}"';
      await this.#checked(node, [
        'sh',
        '-c',
        `rm -rf ${staging} ${REMOTE_PACKAGES} && mkdir -m 0700 ${staging} && mkdir -p -m 0755 ${REMOTE_PACKAGES} && chown ${owner} ${staging}`,
      ]);
      const files = [
        ...manifest.packages.map(({ file }) => basename(file)),
        'Packages',
        'Packages.gz',
        'Release',
      ];
      for (const file of files)
        if (existsSync(join(folder, file)))
          await this.#remote(node).send(join(folder, file), `${staging}/${file}`);
      await this.#checked(node, [
        'sh',
        '-c',
        `cp ${staging}/* ${REMOTE_PACKAGES}/ && rm -rf ${staging} && chmod 0644 ${REMOTE_PACKAGES}/*`,
      ]);
      await this.#remote(node).write(markPath, mark, '0644');
      this.#note(node, `packages ${manifest.version}`);
    }
    await this.#ensureFile(node, SOURCES, SOURCE_LINE, '0644');
  }

  /** Makes apt read our repository, and nothing else. */
  async #readSources(node: EnvironmentNode): Promise<void> {
    const only = [`Dir::Etc::sourcelist=${SOURCES}`, 'Dir::Etc::sourceparts=-'];
    const options = [...only, 'APT::Get::List-Cleanup=0', 'DPkg::Lock::Timeout=600'];
    await this.#checked(node, [
      ...['apt-get', 'update', '-qq'],
      ...options.flatMap((option) => ['-o', option]),
    ]);
  }

  async #task(id: TaskId): Promise<void> {
    const task: Task = TASKS[id];
    const { environment } = this.#inventory;
    const nodes = environment.nodes.filter((node) => task.applies(environment, node));
    const work = (node: EnvironmentNode): Promise<void> => this.#runTask(node, id);
    if (!task.oneByOne) {
      const outcomes = await Promise.allSettled(
        nodes.map((node) => this.#at(node, `task ${id}`, work)),
      );
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
      return;
    }
    for (const node of nodes) await this.#at(node, `task ${id}`, work);
  }

  async #runTask(node: EnvironmentNode, id: TaskId): Promise<void> {
    if (this.#bare.has(node.name)) {
      const report = await planFromNothing(this.#inventory.environment, node, id);
      for (const step of report.steps) this.#run.say(`${node.name} ${id}: would: ${step}`);
      this.#reports.push(report);
      return;
    }
    const argv = ['meshsan-deploy', 'task', id, '--inventory', REMOTE_INVENTORY];
    argv.push('--key-file', REMOTE_KEY, '--node', node.name, '--json');
    if (this.#run.dryRun) argv.push('--dry-run');
    const lines: string[] = [];
    const { code, stdout } = await this.#remote(node).run(argv, '', (line) => {
      lines.push(line);
      this.#run.say(line);
    });
    if (code !== 0) throw new Error(faultOf(lines) || `exit ${code}`);
    const report = JSON.parse(stdout) as TaskReport;
    this.#changed += report.changed;
    this.#reports.push(report);
  }
}

/**
 * Deploys an inventory.
 *
 * @throws EnvironmentError when the inventory is wrong; DeploymentStopped where a node failed
 */
export async function deploy(run: DeploymentRun): Promise<DeploymentReport> {
  return new Deployment(run).all();
}
