// Owns the description of the machine and of the state of the sources that goes into every result,
// because a figure without them says nothing.
import { readFile, realpath } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';

import { execa } from 'execa';

export interface Filesystem {
  readonly type: string;
  readonly device: string;
  readonly mountPoint: string;
}

export interface MachineDescription {
  readonly cpuModel: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly nodeVersion: string;
  readonly fioVersion: string;
  /** Of the directory where the data lies. */
  readonly filesystem: Filesystem;
  /** 1, 5 and 15 minutes, before the first run. */
  readonly load: readonly number[];
  /** Commit of the sources, with `-dirty` when they were changed; null outside a git clone. */
  readonly commit: string | null;
}

/** Describes this machine; `dataDir` is where the measured data lies and must exist. */
export async function describeMachine(dataDir: string): Promise<MachineDescription> {
  return {
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    nodeVersion: process.version,
    fioVersion: (await execa('fio', ['--version'], { stdin: 'ignore' })).stdout.trim(),
    filesystem: await filesystemAt(dataDir),
    load: loadavg().map((load) => Math.round(load * 100) / 100),
    commit: await describeCommit(),
  };
}

/** The file system of an existing directory. */
export async function filesystemAt(dir: string): Promise<Filesystem> {
  return filesystemOf(await readFile('/proc/self/mountinfo', 'utf8'), await realpath(dir));
}

/** Finds the mount that holds an absolute path in the text of /proc/self/mountinfo. */
export function filesystemOf(mountinfo: string, path: string): Filesystem {
  let best: Filesystem | null = null;
  for (const line of mountinfo.split('\n')) {
    // 36 35 98:0 /root /mount/point rw,options shared:1 - ext4 /dev/sda1 rw
    const [left = '', right = ''] = line.split(' - ');
    const mountPoint = left.split(' ')[4]?.replaceAll('\\040', ' ');
    const [type, device] = right.split(' ');
    if (mountPoint === undefined || type === undefined || device === undefined) continue;
    // A later mount on the same point hides the earlier one.
    if (isWithin(path, mountPoint) && mountPoint.length >= (best?.mountPoint.length ?? 0))
      best = { type, device, mountPoint };
  }
  if (best === null) throw new Error(`no mount holds ${path}`);
  return best;
}

/** Whether what is written to this file system is gone after a power cut, whatever is flushed. */
export function isVolatile(filesystem: Filesystem): boolean {
  return filesystem.type === 'tmpfs' || filesystem.type === 'ramfs';
}

function isWithin(path: string, mountPoint: string): boolean {
  return mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
}

async function describeCommit(): Promise<string | null> {
  const git = await execa('git', ['describe', '--always', '--dirty', '--abbrev=12', '--match='], {
    stdin: 'ignore',
    reject: false,
  });
  return git.failed ? null : git.stdout.trim();
}
