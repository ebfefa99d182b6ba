// What all machines of the tests that systemd-nspawn boots have in common: who is their systemd, how a program of the host
// enters them, and their disks. It must never change the host beyond a loop device that its caller takes away.

import type { ChildProcess } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';

const DISK_BYTES = 3 * 2 ** 30;
const DISK_GROUP = 6;
const NODE_MODE = 0o660;

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Process id of the systemd inside, as the host sees it; null: it does not run. */
export async function leaderOf(machine: ChildProcess | null): Promise<number | null> {
  const pid = machine?.pid;
  if (pid === undefined) return null;
  const { stdout } = await execa('ps', ['-o', 'pid=,comm=', '--ppid', String(pid)], {
    reject: false,
  });
  const line = stdout.split('\n').find((row) => /\bsystemd$/.test(row.trim()));
  return line === undefined ? null : Number(line.trim().split(/\s+/)[0]);
}

/** Words before a command that is to run inside. */
export const entering = (leader: number): string[] => [
  ...['nsenter', '-t', String(leader)],
  ...['-m', '-u', '-i', '-n', '-p', '--'],
];

/** How a program of the host is run inside. */
export const INSIDE = {
  reject: false,
  extendEnv: false,
  env: {
    ...{ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LC_ALL: 'C.UTF-8' },
    DEBIAN_FRONTEND: 'noninteractive',
  },
} as const;

/** A loop device over a new file, for the group that disks have; its path. */
export async function makeDisk(file: string): Promise<string> {
  writeFileSync(file, '');
  await execa('truncate', ['-s', String(DISK_BYTES), file]);
  const { stdout: loop } = await execa('losetup', ['--find', '--show', file]);
  await execa('chgrp', [String(DISK_GROUP), loop]);
  chmodSync(loop, NODE_MODE);
  return loop;
}
