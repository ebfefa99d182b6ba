// Machines of the deployment test: systemd-nspawn containers that boot the real systemd on an overlay of this host's root,
// each with an address on a management and on a storage network that exist in namespaces of their own. It owns
// everything that it makes (namespaces, mounts, loop devices, processes) and takes it away again. It must never touch the
// host's own network or services.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { INSIDE, entering, leaderOf, makeDisk } from '../support/nspawn.js';
import type { Output } from '../support/nspawn.js';
import { until } from '../support/until.js';

const STOP_MS = 30_000;
const COMMAND_MS = 300_000;
const LOOP_NODES = 128;
/** Address of whoever works from outside, as an operator does. */
export const OPERATOR = '192.168.0.250';

export interface MachineSpec {
  readonly name: string;
  readonly management: string;
  readonly storage: string;
  /** Virtual addresses that it holds, as pacemaker would have it. */
  readonly vips?: readonly string[];
  /** Block devices by the name that they have inside. */
  readonly disks: readonly string[];
}

const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

async function run(...argv: readonly string[]): Promise<string> {
  const [program = '', ...args] = argv;
  return (await execa(program, args, { stdin: 'ignore', timeout: COMMAND_MS })).stdout;
}

function inside(leader: number, argv: readonly string[], timeout: number) {
  const [program = '', ...words] = [...entering(leader), ...argv];
  return execa(program, words, { ...INSIDE, stdin: 'ignore', timeout });
}

export class Machine {
  readonly spec: MachineSpec;
  readonly root: string;
  readonly #lab: Lab;
  readonly #dir: string;
  #process: ChildProcess | null = null;
  #ending: Promise<void> = Promise.resolve();
  readonly #loops: string[] = [];

  constructor(lab: Lab, spec: MachineSpec) {
    this.#lab = lab;
    this.spec = spec;
    this.#dir = join(lab.dir, spec.name);
    this.root = join(this.#dir, 'root');
  }

  get name(): string {
    return this.spec.name;
  }

  get namespace(): string {
    return `${this.#lab.prefix}-${this.name}`;
  }

  get log(): string {
    return join(this.#dir, 'console.log');
  }

  /** Path on the host of a file inside. */
  path(inside: string): string {
    return join(this.root, inside);
  }

  async prepare(): Promise<void> {
    for (const folder of ['upper', 'work', 'root'])
      mkdirSync(join(this.#dir, folder), { recursive: true });
    const layers = `lowerdir=/,upperdir=${this.#dir}/upper,workdir=${this.#dir}/work`;
    await run('mount', '-t', 'overlay', 'overlay', '-o', layers, this.root);
    this.#clean();
    for (const index of this.spec.disks.keys())
      this.#loops.push(await makeDisk(join(this.#dir, `disk${index}`)));
    await this.#network();
  }

  /** Nothing of the host's services starts, nothing of its state is seen. */
  #clean(): void {
    const units = this.path('/etc/systemd/system');
    rmSync(units, { recursive: true, force: true });
    mkdirSync(join(units, 'multi-user.target.wants'), { recursive: true });
    const wanted = join(units, 'multi-user.target.wants', 'ssh.service');
    symlinkSync('/lib/systemd/system/ssh.service', wanted);
    for (const folder of [
      '/etc/meshsan',
      '/var/lib/meshsan',
      '/var/log/journal',
      '/root/.ssh',
      '/root/openrc',
    ])
      rmSync(this.path(folder), { recursive: true, force: true });
    // A machine id that is there keeps systemd from enabling what the host's packages would like to run.
    const id = Buffer.from(this.name.padEnd(16, '.')).toString('hex').slice(0, 32);
    rmSync(this.path('/etc/machine-id'), { force: true });
    writeFileSync(this.path('/etc/machine-id'), `${id}\n`);
    writeFileSync(this.path('/etc/hostname'), `${this.name}\n`);
    const hosts = this.#lab.specs.map(({ name, management }) => `${management} ${name}\n`).join('');
    writeFileSync(this.path('/etc/hosts'), `127.0.0.1 localhost\n${hosts}`);
    mkdirSync(this.path('/root/.ssh'), { mode: 0o700 });
    writeFileSync(this.path('/root/.ssh/authorized_keys'), this.#lab.publicKey, { mode: 0o600 });
    const policy = this.path('/usr/sbin/policy-rc.d');
    rmSync(policy, { force: true });
  }

  /** The loop device on the host behind a disk. */
  loopOf(disk: string): string {
    const loop = this.#loops[this.spec.disks.indexOf(disk)];
    if (loop === undefined) throw new Error(`${this.name} has no disk ${disk}`);
    return loop;
  }

  async #network(): Promise<void> {
    const inside = this.namespace;
    const hub = this.#lab.hub;
    await run('ip', 'netns', 'add', inside);
    await run('ip', '-n', inside, 'link', 'set', 'lo', 'up');
    const links = [
      ['br-mgmt', 'mgmt', this.spec.management],
      ['br-storage', 'storage', this.spec.storage],
    ] as const;
    for (const [bridge, link, address] of links) {
      const outer = `${link.slice(0, 1)}${this.#lab.indexOf(this.name)}`;
      await run(
        'ip',
        '-n',
        hub,
        'link',
        'add',
        outer,
        'type',
        'veth',
        'peer',
        'name',
        link,
        'netns',
        inside,
      );
      await run('ip', '-n', hub, 'link', 'set', outer, 'master', bridge, 'up');
      await run('ip', '-n', inside, 'address', 'add', `${address}/24`, 'dev', link);
      await run('ip', '-n', inside, 'link', 'set', link, 'up');
    }
    for (const vip of this.spec.vips ?? [])
      await run('ip', '-n', inside, 'address', 'add', `${vip}/24`, 'dev', 'mgmt');
  }

  /** Boots it, and resolves when sshd runs. */
  async boot(): Promise<void> {
    const binds = this.spec.disks.map((disk) => `--bind=${this.loopOf(disk)}:${disk}`);
    const log = openSync(this.log, 'a', 0o600);
    const child = spawn(
      'systemd-nspawn',
      [
        ...[
          '--quiet',
          '--register=no',
          '--keep-unit',
          '--boot',
          '--resolv-conf=off',
          '--timezone=off',
        ],
        ...[`--machine=${this.name}`, `--directory=${this.root}`],
        '--capability=CAP_NET_ADMIN',
        `--network-namespace-path=/run/netns/${this.namespace}`,
        ...['/dev/fuse', '/dev/loop-control'].filter(existsSync).map((path) => `--bind=${path}`),
        ...binds,
        ...this.#lab.binds.map((path) => `--bind-ro=${path}`),
        'systemd.unit=multi-user.target',
      ],
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    this.#process = child;
    this.#ending = new Promise((done) => {
      child.once('exit', () => {
        done();
      });
    });
    await until(`${this.name} boots`, () => this.#isUp());
  }

  /**
   * Nodes of loop devices, which the kernel makes in the host's /dev only: clients attach volumes through them. The next
   * free ones may have high numbers on a host that has used many.
   */
  async makeLoopNodes(): Promise<void> {
    const free = Number(/\d+$/.exec(await run('losetup', '--find'))?.[0] ?? '0');
    const make = `for i in $(seq ${free} ${free + LOOP_NODES}); do [ -e /dev/loop$i ] || mknod -m 0660 /dev/loop$i b 7 $i; done; chgrp disk /dev/loop*`;
    await this.run('sh', '-c', make);
  }

  async #isUp(): Promise<boolean> {
    if ((await leaderOf(this.#process)) === null) return false;
    const { stdout } = await this.try('systemctl', 'is-active', 'ssh.service', 'multi-user.target');
    return stdout === 'active\nactive';
  }

  /** Runs a command inside as root. */
  async try(...argv: readonly string[]): Promise<Output> {
    const leader = await leaderOf(this.#process);
    if (leader === null) return { code: -1, stdout: '', stderr: `${this.name} does not run` };
    const result = await inside(leader, argv, COMMAND_MS);
    return { code: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /**
   * Runs a program inside that takes long.
   *
   * @param watch - sees each line of its standard output as it comes
   * @throws Error with its standard error when it fails
   */
  async follow(argv: readonly string[], watch: (line: string) => void): Promise<void> {
    const leader = await leaderOf(this.#process);
    if (leader === null) throw new Error(`${this.name} does not run`);
    const child = inside(leader, argv, 4 * COMMAND_MS);
    for await (const line of child.iterable()) watch(line);
    const { exitCode, stderr } = await child;
    if (exitCode !== 0)
      throw new Error(`${this.name}: ${argv.join(' ')}: ${exitCode ?? 'killed'}: ${stderr}`);
  }

  /** As try(); a failure is an error. */
  async run(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...argv);
    if (code !== 0)
      throw new Error(`${this.name}: ${argv.join(' ')}: ${code}: ${stderr}\n${stdout}`);
    return stdout;
  }

  /** Restarts the machine as `reboot` does: its container ends, and whoever started it starts it again. */
  async reboot(): Promise<void> {
    await this.try('systemctl', 'reboot');
    await this.#ended();
    await this.boot();
  }

  /** As if its power were cut. */
  async kill(): Promise<void> {
    await this.#killLeader();
    await this.#ended();
  }

  /** Ctrl-C reaches the container as well, which may be gone by now. */
  async #killLeader(): Promise<void> {
    const leader = await leaderOf(this.#process);
    try {
      if (leader !== null) process.kill(leader, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async #ended(): Promise<void> {
    const child = this.#process;
    if (child === null) return;
    const ended = this.#ending.then(() => true);
    if (!(await Promise.race([ended, sleep(STOP_MS).then(() => false)]))) child.kill('SIGKILL');
    await ended;
    this.#process = null;
  }

  /** Ends it and takes everything away that it was made of. */
  async remove(): Promise<void> {
    await this.#killLeader();
    await this.#ended();
    const quiet = { reject: false, stdin: 'ignore' } as const;
    await execa('umount', ['--recursive', this.root], quiet);
    for (const loop of this.#loops) await execa('losetup', ['--detach', loop], quiet);
    await execa('ip', ['netns', 'delete', this.namespace], quiet);
  }
}

/** All machines of a test and the networks between them. */
export class Lab {
  readonly dir = mkdtempSync(join(tmpdir(), 'meshsan-lab-'));
  readonly prefix = `ms${process.pid}`;
  readonly specs: readonly MachineSpec[];
  readonly machines: readonly Machine[];
  /** Folders of the host that every machine sees, read-only, at the same path. */
  readonly binds: readonly string[];
  publicKey = '';

  constructor(specs: readonly MachineSpec[], binds: readonly string[]) {
    this.specs = specs;
    this.binds = binds;
    this.machines = specs.map((spec) => new Machine(this, spec));
  }

  get hub(): string {
    return `${this.prefix}-hub`;
  }

  get keyFile(): string {
    return join(this.dir, 'id_ed25519');
  }

  indexOf(name: string): number {
    return this.specs.findIndex((spec) => spec.name === name);
  }

  machine(name: string): Machine {
    const found = this.machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Error(`there is no machine ${name}`);
    return found;
  }

  async prepare(): Promise<void> {
    await run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', this.keyFile);
    this.publicKey = readFileSync(`${this.keyFile}.pub`, 'utf8');
    await run('ip', 'netns', 'add', this.hub);
    await run('ip', '-n', this.hub, 'link', 'set', 'lo', 'up');
    for (const bridge of ['br-mgmt', 'br-storage']) {
      await run('ip', '-n', this.hub, 'link', 'add', bridge, 'type', 'bridge');
      await run('ip', '-n', this.hub, 'link', 'set', bridge, 'up');
    }
    await run('ip', '-n', this.hub, 'address', 'add', `${OPERATOR}/24`, 'dev', 'br-mgmt');
    for (const machine of this.machines) await machine.prepare();
  }

  /**
   * Runs a program of the host in the management network, as an operator's machine would.
   *
   * @param watch - sees each line of its standard error as it comes
   */
  async outside(
    argv: readonly string[],
    watch: (line: string) => void = () => undefined,
  ): Promise<Output> {
    const child = execa('ip', ['netns', 'exec', this.hub, ...argv], {
      reject: false,
      stdin: 'ignore',
      timeout: 2 * COMMAND_MS,
    });
    for await (const line of child.iterable({ from: 'stderr' })) watch(line);
    const result = await child;
    return { code: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** One more link of a machine to the management network, with that name inside. */
  async plug(name: string, link: string): Promise<void> {
    const outer = `x${this.indexOf(name)}`;
    const peer = ['peer', 'name', link, 'netns', this.machine(name).namespace];
    await run('ip', '-n', this.hub, 'link', 'add', outer, 'type', 'veth', ...peer);
    await run('ip', '-n', this.hub, 'link', 'set', outer, 'master', 'br-mgmt', 'up');
  }

  /** Cuts a machine off from the management network, or connects it again. */
  async cut(name: string, off: boolean): Promise<void> {
    await run('ip', '-n', this.hub, 'link', 'set', `m${this.indexOf(name)}`, off ? 'down' : 'up');
  }

  async remove(): Promise<void> {
    await Promise.all(this.machines.map((machine) => machine.remove()));
    await execa('ip', ['netns', 'delete', this.hub], { reject: false });
    rmSync(this.dir, { recursive: true, force: true });
  }
}
