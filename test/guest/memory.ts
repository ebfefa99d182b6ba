// Runs inside the guest, as its only program: whoever serves an attached volume goes on when memory is short. A whole kernel
// is ours here, so the services get what their units give them: the mark of an I/O flusher, the score that keeps them from
// being killed, memory.min. The storage servers run beside the guest, or in it too. Every check prints a line that begins
// with GUEST; the host reads them.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { FILES } from '../../backend/deploy/packages/definitions.js';
import { busybox, check, failed, isTrue, run, same, say, until } from './checks.js';
import { INSIDE, OUTSIDE, Storage, eventually } from './storage.js';

const GUEST_HOST = '10.0.2.15';
const FLUSHER = ['/usr/bin/python3', '-I', join('/meshsan', FILES, 'libexec/io-flusher')] as const;
const GROUPS = '/sys/fs/cgroup';
const SERVICES = join(GROUPS, 'services');
const OTHERS = join(GROUPS, 'others');
const LINKS = '/dev/disk/by-id';
const MOUNT = '/mnt';
const CONTENT = join(MOUNT, 'content');
const MIB = 2 ** 20;
/** What stays free for page cache and everything else. */
const FREE = 0.1;
const BLOCK_BYTES = 65_536;
/** Blocks are written in an order of which each next one is far away; prime, so that each has its turn. */
const STRIDE = 797;
const LOOK_MS = 500;
/** Nothing that the device did for so long is a stall; emulated processors need seconds for a request. */
const STALL_MS = 120_000;
/** Process flags of PR_SET_IO_FLUSHER: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const IO_FLUSHER = 0x00180000;

const areServersHere = readFileSync('/proc/cmdline', 'utf8').includes('guest.servers=inside');
/** How much is written of what is left: all of it does not fit, and servers that are here hold two copies and a log of it. */
const WRITTEN_OF_LEFT = areServersHere ? 0.6 : 1.1;
/** What is written is a multiple of so many blocks. */
const STEP_BLOCKS = 512;
/** Both machines are given the same disk. */
const FOLDER = areServersHere ? '/data/inside' : '/data/outside';
/** Client and holder; with them MDM and two servers with a data process each. */
const PROCESSES = areServersHere ? 7 : 2;
/**
 * MemoryMin= of one unit. Where three of them share a machine that is so small, it is for all: with their own 768 MiB memory
 * would never be short for them.
 */
const MEMORY_MIN_BYTES = 256 * MIB;

interface Runner {
  readonly pid: number;
  readonly command: string;
}

/** Processes of the product that a write to the volume passes through. */
function runners(): Runner[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const file = `/proc/${name}/cmdline`;
      const command = existsSync(file) ? readFileSync(file, 'utf8').replaceAll('\0', ' ') : '';
      return /\/bin\/(sds|sds-data|sdc|sdc-holder|mdm)\.js/.test(command)
        ? [{ pid: Number(name), command }]
        : [];
    })
    .sort((one, other) => one.pid - other.pid);
}

/** Starts a program as a member of a group; `before` is done by its shell. */
function within(group: string, before: string, argv: readonly string[]): ChildProcess {
  const enter = `echo 0 > ${group}/cgroup.procs; ${before} exec "$@"`;
  return spawn('/bin/busybox', ['sh', '-ec', enter, 'sh', ...argv], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

function makeGroups(): void {
  busybox('mount', '-t', 'cgroup2', 'cgroup2', GROUPS);
  writeFileSync(join(GROUPS, 'cgroup.subtree_control'), '+memory');
  for (const group of [SERVICES, OTHERS]) mkdirSync(group);
  writeFileSync(join(SERVICES, 'memory.min'), String(MEMORY_MIN_BYTES));
}

function meminfo(name: string): number {
  return counter('/proc/meminfo', `${name}:`) * 1024;
}

function counter(file: string, name: string): number {
  const [, value = '0'] =
    new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(readFileSync(file, 'utf8')) ?? [];
  return Number(value);
}

/** Services as their units start them: marked, and with the score that keeps them from being killed. */
async function startStorage(): Promise<string> {
  mkdirSync(FOLDER, { mode: 0o700 });
  const secret = Buffer.from(readFileSync('/data/secret', 'utf8'), 'hex');
  const score = 'echo -900 > /proc/self/oom_score_adj;';
  const storage = new Storage(areServersHere ? INSIDE : OUTSIDE, FOLDER, secret, (argv) => {
    within(SERVICES, score, [...FLUSHER, ...argv]);
  });
  if (areServersHere) storage.startServers();
  storage.startClient(areServersHere ? INSIDE.mdmHost : GUEST_HOST);
  if (areServersHere) await storage.makeVolume();
  const found = (): string | undefined =>
    existsSync(LINKS) ? readdirSync(LINKS).find((name) => name.startsWith('emc-vol-')) : undefined;
  await eventually('the block device', () =>
    found() === undefined ? Promise.reject(new Error('there is none')) : Promise.resolve(),
  );
  const device = run('readlink', '-f', join(LINKS, found() ?? ''));
  say(` ${device} is there`);
  run('mkfs.ext4', '-q', '-E', 'nodiscard', device);
  run('mount', device, MOUNT);
  return device;
}

/** @returns how many processes and threads are marked */
async function checkMarks(): Promise<string> {
  // A child of one shows its parent's command until it runs its own.
  await until('all of them run', () => runners().length === PROCESSES);
  const all = runners();
  const members = readFileSync(join(SERVICES, 'cgroup.procs'), 'utf8').split('\n').map(Number);
  let threads = 0;
  for (const { pid, command } of all) {
    const score = readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim();
    same(`${command} ${score}`, `${command} -900`);
    isTrue(members.includes(pid), `${command} has memory.min`);
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8');
      const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
      isTrue((flags & IO_FLUSHER) === IO_FLUSHER, `${command}: ${stat}`);
      threads += 1;
    }
  }
  return `${threads} threads of ${all.length} processes`;
}

/** Takes memory until only so many KiB look available, and keeps it. */
const HOG = `
import re, sys, time
kept = []
while int(re.search(r"MemAvailable: +([0-9]+)", open("/proc/meminfo").read())[1]) > int(sys.argv[1]):
    kept.append(b"\\1" * (2 << 20))
open("/tmp/hog-ready", "w").close()
time.sleep(36000)
`;

/** Writes through the page cache, and flushes at the end. */
const WRITER = `
import hashlib, os, sys
path, blocks, size, stride = sys.argv[1], *map(int, sys.argv[2:])
file = os.open(path, os.O_WRONLY | os.O_CREAT)
for turn in range(blocks):
    block = turn * stride % blocks
    os.pwrite(file, hashlib.shake_128(b"%d" % block).digest(size), block * size)
os.fsync(file)
`;

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;

/** What memory.min keeps for the services beyond what they hold: nobody else gets it, though it looks available. */
function reservedBytes(): number {
  const stat = join(SERVICES, 'memory.stat');
  const held = counter(stat, 'anon') + counter(stat, 'kernel');
  return Math.max(0, MEMORY_MIN_BYTES - held);
}

/** @returns who holds the memory, and how many bytes are left */
async function startHog(): Promise<readonly [ChildProcess, number]> {
  writeFileSync('/proc/sys/vm/drop_caches', '3');
  rmSync('/tmp/hog-ready', { force: true });
  const [total, reserved, before] = [meminfo('MemTotal'), reservedBytes(), meminfo('MemAvailable')];
  const left = total * FREE + reserved;
  const argv = ['/usr/bin/python3', '-c', HOG, String(Math.floor(left / 1024))];
  const hog = within(OTHERS, '', argv);
  await until('the memory is taken', () => existsSync('/tmp/hog-ready') || hasEnded(hog));
  const rest = meminfo('MemAvailable');
  const [all, was, is, kept] = [total, before, rest, reserved].map((bytes) =>
    String(Math.round(bytes / MIB)),
  );
  say(
    ` of ${all ?? ''} MiB ${was ?? ''} were available, ${is ?? ''} are left, ${kept ?? ''} of them for the services only`,
  );
  return [hog, rest];
}

/** For whoever looks for the cause of a stall: what each process waits for in the kernel. */
function sayWhereTheyWait(): void {
  for (const { pid, command } of runners())
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const stack = readFileSync(`/proc/${pid}/task/${task}/stack`, 'utf8').split('\n');
      say(` ${command.split(' ')[1] ?? ''} ${task}: ${stack.slice(0, 5).join(' ')}`);
    }
  for (const name of ['MemAvailable', 'Dirty', 'Writeback'])
    say(` ${name} ${Math.round(meminfo(name) / MIB)} MiB`);
}

/** @returns the longest pause between two requests that the device finished, in milliseconds */
async function writeAll(device: string, blocks: number): Promise<number> {
  const statistics = join('/sys/block', device.replace('/dev/', ''), 'stat');
  const argv = [CONTENT, blocks, BLOCK_BYTES, STRIDE].map(String);
  const writer = within(OTHERS, '', ['/usr/bin/python3', '-c', WRITER, ...argv]);
  let [last, since, longest] = ['', Date.now(), 0];
  while (!hasEnded(writer)) {
    await pause(LOOK_MS);
    const now = readFileSync(statistics, 'utf8').trim().split(/\s+/).slice(0, 7).join(' ');
    longest = Math.max(longest, Date.now() - since);
    if (now !== last) [last, since] = [now, Date.now()];
    if (Date.now() - since > STALL_MS) {
      sayWhereTheyWait();
      throw new Error(`the device has finished nothing for ${STALL_MS / 1000} s: ${now}`);
    }
  }
  same(writer.exitCode, 0);
  return longest;
}

/** Reads what lies on the servers, not in this machine's page cache. */
async function compareAll(device: string, blocks: number): Promise<void> {
  run('umount', MOUNT);
  writeFileSync('/proc/sys/vm/drop_caches', '3');
  run('mount', '-o', 'ro', device, MOUNT);
  const options = [`if=${CONTENT}`, `bs=${BLOCK_BYTES}`, 'iflag=direct', 'status=none'];
  const reader = spawn('/bin/dd', options, { stdio: ['ignore', 'pipe', 'inherit'] });
  let rest = Buffer.alloc(0);
  let block = 0;
  for await (const chunk of reader.stdout as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= BLOCK_BYTES; block++, rest = rest.subarray(BLOCK_BYTES)) {
      const right = createHash('shake128', { outputLength: BLOCK_BYTES }).update(String(block));
      isTrue(right.digest().equals(rest.subarray(0, BLOCK_BYTES)), `block ${block} is right`);
    }
  }
  same(`${block} blocks and ${rest.length} bytes`, `${blocks} blocks and 0 bytes`);
}

/** Pages that were taken back from caches so far, because memory was short. */
const reclaimed = (): number =>
  counter('/proc/vmstat', 'pgsteal_kswapd') + counter('/proc/vmstat', 'pgsteal_direct');

/** Writes more than fits through the page cache, and flushes. @returns how many blocks */
async function underPressure(device: string): Promise<number> {
  const before = runners();
  const killed = counter('/proc/vmstat', 'oom_kill');
  const [hog, leftBytes] = await startHog();
  const blocks = STEP_BLOCKS * Math.ceil((leftBytes * WRITTEN_OF_LEFT) / BLOCK_BYTES / STEP_BLOCKS);
  const reclaimedBefore = reclaimed();
  const began = Date.now();
  try {
    const longest = await writeAll(device, blocks);
    const seconds = Math.round((Date.now() - began) / 1000);
    const mib = (blocks * BLOCK_BYTES) / MIB;
    const pages = reclaimed() - reclaimedBefore;
    say(
      ` ${mib} MiB written and flushed in ${seconds} s, longest pause ${longest} ms, ${pages} pages reclaimed`,
    );
    isTrue(pages > 0, 'memory was short');
    isTrue(!hasEnded(hog), 'the memory is still taken');
  } finally {
    hog.kill('SIGKILL');
    await until('the hog has ended', () => hasEnded(hog));
  }
  const now = new Set(runners().map(({ pid }) => pid));
  for (const { pid, command } of before) isTrue(now.has(pid), `${command} is alive`);
  same(counter('/proc/vmstat', 'oom_kill'), killed);
  return blocks;
}

process.env['PATH'] = '/usr/sbin:/usr/bin:/sbin:/bin';
const where = areServersHere ? 'servers on the same host' : 'servers elsewhere';
say(` kernel ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}, memory, ${where}`);
makeGroups();
busybox('mount', '-t', 'ext4', '/dev/vdb', '/data');
let device = '';
let written = 0;
const CHECKS: readonly (readonly [string, () => void | Promise<void>])[] = [
  [
    'a file system on an attached volume, its services in a group with memory.min',
    async () => {
      device = await startStorage();
    },
  ],
  [
    'every thread that a write passes through is an I/O flusher, and is killed last',
    async () => {
      say(` ${await checkMarks()}`);
    },
  ],
  [
    '10 % of the memory is free: a writer goes on, nobody is killed',
    async () => {
      written = await underPressure(device);
    },
  ],
  ['what was written is right', () => compareAll(device, written)],
];
// What comes after a check that failed would only repeat its failure.
for (const [name, act] of CHECKS) if (failed() === 0) await check(`${where}: ${name}`, act);
say('-END');
process.exit(0);
