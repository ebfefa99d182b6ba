// The machine of the package test: a systemd-nspawn container that boots the real systemd on an overlay of this host's
// root, alone in its network, its memory in a group of its own. It owns what it makes (mounts, loop devices, the group,
// the process) and takes it away again; it must never change the host.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { INSIDE, entering, leaderOf, makeDisk } from '../support/nspawn.js';
import type { Output } from '../support/nspawn.js';
import { until } from '../support/until.js';

const NAME = 'meshsan-packages';
const MEMORY_GROUPS = '/sys/fs/cgroup/memory';
const COMMAND_MS = 300_000;
const STOP_MS = 30_000;
/** Block devices that the client inside may make beside those that the host has. */
const LOOPS = 64;

/** Everything inside, or only what runs apart. */
export type MemoryGroup = 'all' | 'apart';

/** Removes a group that has no process any more. */
function isRemoved(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

async function host(...argv: readonly string[]): Promise<string> {
  const [program = '', ...args] = argv;
  return (await execa(program, args, { stdin: 'ignore', timeout: COMMAND_MS })).stdout;
}

export class Machine {
  readonly dir = mkdtempSync(join(tmpdir(), `${NAME}-`));
  readonly root = join(this.dir, 'root');
  readonly #disks: readonly string[];
  readonly #binds: readonly string[];
  readonly #loops: string[] = [];
  readonly #group = join(MEMORY_GROUPS, `${NAME}-${process.pid}`);
  /** For commands whose memory is to be counted apart; part of the machine's. */
  readonly #apart = join(this.#group, 'apart');
  #process: ChildProcess | null = null;

  /**
   * @param disks - block devices, by the names that they have inside
   * @param binds - folders of the host that it sees, read-only
   */
  constructor(disks: readonly string[], binds: readonly string[]) {
    this.#disks = disks;
    this.#binds = binds;
  }

  path(inside: string): string {
    return join(this.root, inside);
  }

  /** Makes and boots it. */
  async boot(): Promise<void> {
    for (const folder of ['upper', 'work', 'root']) mkdirSync(join(this.dir, folder));
    const layers = `lowerdir=/,upperdir=${this.dir}/upper,workdir=${this.dir}/work`;
    await host('mount', '-t', 'overlay', 'overlay', '-o', layers, this.root);
    this.#clean();
    for (const index of this.#disks.keys()) this.#loops.push(await makeDisk(this.diskFile(index)));
    if (existsSync(MEMORY_GROUPS)) mkdirSync(this.#apart, { recursive: true });
    this.#start();
    await until('the machine boots', async () => {
      const { stdout } = await this.try('systemctl', 'is-active', 'multi-user.target');
      return stdout === 'active';
    });
    // The client takes any of the loop devices that the host's kernel has.
    const known = readdirSync('/sys/block').map((name) =>
      Number(/^loop(\d+)$/.exec(name)?.[1] ?? 0),
    );
    const last = Math.max(...known) + LOOPS;
    await this.shell(
      `for i in $(seq 0 ${last}); do [ -e /dev/loop$i ] || mknod -m 660 /dev/loop$i b 7 $i; done`,
    );
  }

  /** Nothing of the host's services starts, nothing of its state is seen. */
  #clean(): void {
    for (const path of [
      '/etc/systemd/system',
      '/etc/meshsan',
      '/var/lib/meshsan',
      '/var/log/journal',
      '/usr/sbin/policy-rc.d',
      '/etc/machine-id',
    ])
      rmSync(this.path(path), { recursive: true, force: true });
    mkdirSync(this.path('/etc/systemd/system'));
    // One that is there keeps systemd from enabling what the host's packages would like to run.
    writeFileSync(
      this.path('/etc/machine-id'),
      `${Buffer.from(NAME).toString('hex').slice(0, 32)}\n`,
    );
    writeFileSync(this.path('/etc/hostname'), `${NAME}\n`);
  }

  /** The file behind a disk. */
  diskFile(index: number): string {
    return join(this.dir, `disk${index}`);
  }

  #start(): void {
    const log = openSync(join(this.dir, 'console.log'), 'a', 0o600);
    const devices = ['/dev/fuse', '/dev/loop-control'].map((path) => `--bind=${path}`);
    const disks = this.#disks.map((disk, index) => `--bind=${this.#loops[index] ?? ''}:${disk}`);
    const nspawn = [
      ...['systemd-nspawn', '--quiet', '--register=no', '--keep-unit', '--boot'],
      ...['--resolv-conf=off', '--timezone=off', '--private-network'],
      ...[`--machine=${NAME}`, `--directory=${this.root}`],
      ...[...devices, ...disks],
      ...this.#binds.map((path) => `--bind-ro=${path}`),
      'systemd.unit=multi-user.target',
    ];
    const enter = `[ ! -d "$0" ] || echo $$ > "$0/cgroup.procs"; exec "$@"`;
    this.#process = spawn('sh', ['-c', enter, this.#group, ...nspawn], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
  }

  /** Runs a command inside as root. */
  async try(...argv: readonly string[]): Promise<Output> {
    return this.#inside(argv, '');
  }

  async #inside(argv: readonly string[], input: string, group = this.#group): Promise<Output> {
    const leader = await leaderOf(this.#process);
    if (leader === null) return { code: -1, stdout: '', stderr: 'the machine does not run' };
    // The command's memory belongs to the machine's group, as that of everything else inside.
    const enter = [
      ...['-c', '[ ! -d "$0" ] || echo $$ > "$0/cgroup.procs"; exec "$@"', group],
      ...[...entering(leader), ...argv],
    ];
    const limits = { timeout: COMMAND_MS, killSignal: 'SIGKILL' } as const;
    const result = await execa('sh', enter, { ...INSIDE, ...limits, input });
    return { code: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** As try(); a failure is an error. */
  async run(...argv: readonly string[]): Promise<string> {
    return this.feed('', ...argv);
  }

  /** As run(), with standard input. */
  async feed(input: string, ...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#inside(argv, input);
    if (code !== 0) throw new Error(`${argv.join(' ')}: exit ${code}\n${stderr}\n${stdout}`.trim());
    return stdout;
  }

  async shell(script: string): Promise<string> {
    return this.run('sh', '-ec', script);
  }

  /** Runs a command inside whose memory is counted apart. */
  async runApart(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.#inside(argv, '', this.#apart);
    if (code !== 0) throw new Error(`${argv.join(' ')}: exit ${code}\n${stderr}\n${stdout}`.trim());
    return stdout;
  }

  #groupOf(which: MemoryGroup): string {
    return which === 'all' ? this.#group : this.#apart;
  }

  /** Bounds memory. @throws Error where the host has no groups for it */
  limitMemory(which: MemoryGroup, bytes: number): void {
    writeFileSync(join(this.#groupOf(which), 'memory.limit_in_bytes'), String(bytes));
  }

  /** Bytes that processes hold now, without what can be read again. */
  memoryHeld(which: MemoryGroup): number {
    const text = readFileSync(join(this.#groupOf(which), 'memory.stat'), 'utf8');
    const rows = new Map(text.split('\n').map((line) => line.split(' ') as [string, string]));
    return Number(rows.get('total_rss')) + Number(rows.get('total_shmem'));
  }

  /** Leaves it running after this process. */
  keep(): void {
    this.#process?.unref();
  }

  /** Ends it and takes everything away that it was made of. */
  async remove(): Promise<void> {
    const quiet = { reject: false, stdin: 'ignore' } as const;
    const child = this.#process;
    if (child !== null) {
      const leader = await leaderOf(this.#process);
      const ended = new Promise<boolean>((done) => {
        if (child.exitCode !== null) done(true);
        child.once('exit', () => {
          done(true);
        });
      });
      // A file system of a volume can be flushed only while somebody serves the volume.
      await this.try('sh', '-c', 'for point in /mnt/*; do timeout 60 umount "$point"; done');
      if (leader !== null) process.kill(leader, 'SIGKILL');
      const inTime = await Promise.race([ended, pause(STOP_MS, false)]);
      if (!inTime) child.kill('SIGKILL');
      await ended;
    }
    await execa('umount', ['--recursive', this.root], quiet);
    for (const loop of this.#loops) await execa('losetup', ['--detach', loop], quiet);
    for (const group of [this.#apart, this.#group])
      await until('every process of the machine is gone', () =>
        Promise.resolve(!existsSync(group) || isRemoved(group)),
      );
    rmSync(this.dir, { recursive: true, force: true });
  }
}
