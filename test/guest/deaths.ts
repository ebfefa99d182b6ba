// Runs inside the guest, as its only program: a file system on a volume that Debian's own nbd driver attached, written while the
// servers and the MDM beside the guest are killed and started again (outside.ts). What was written is read back, and the file
// system is clean. Every check prints a line that begins with GUEST; the host reads them.

import { mkdirSync, readFileSync, readdirSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busybox, check, digest, isTrue, run, running, same, say } from './checks.js';
import { OUTSIDE, Storage, eventually } from './storage.js';

const GUEST_HOST = '10.0.2.15';
const FOLDER = '/data/outside';
const LINKS = '/dev/disk/by-id';
const MOUNT = '/mnt';
const CONTENT = '/tmp/content';
const CONTENT_MIB = 2;
/** Files are written over in turn, so that blocks change under the deaths, too. */
const FILES = 6;
/** Several deaths of each fall into it. */
const WRITE_MS = 120_000;

async function attach(): Promise<string> {
  mkdirSync(FOLDER, { mode: 0o700 });
  const secret = Buffer.from(readFileSync('/data/secret', 'utf8'), 'hex');
  const storage = new Storage(OUTSIDE, FOLDER, secret, ([program = '', ...args]) => {
    void running(program, ...args).then((words) => {
      say(` the client ended: ${words}`);
    });
  });
  storage.startClient(GUEST_HOST);
  let device = '';
  await eventually('the block device', () => {
    const name = existsSync(LINKS)
      ? readdirSync(LINKS).find((link) => link.startsWith('emc-vol-'))
      : undefined;
    if (name === undefined) return Promise.reject(new Error('there is none'));
    device = run('readlink', '-f', join(LINKS, name));
    return Promise.resolve();
  });
  isTrue(device.startsWith('/dev/nbd'), `${device} is the kernel's nbd`);
  run('mkfs.ext4', '-q', '-E', 'nodiscard', device);
  run('mount', device, MOUNT);
  return device;
}

/** @returns digests of what was written last, by file */
async function writeOn(): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  const began = Date.now();
  let [turn, longest] = [0, 0];
  for (; Date.now() - began < WRITE_MS || turn < FILES; turn++) {
    const file = join(MOUNT, `f${turn % FILES}`);
    busybox('dd', 'if=/dev/urandom', `of=${CONTENT}`, 'bs=1M', `count=${CONTENT_MIB}`);
    const at = Date.now();
    const options = ['bs=64k', 'oflag=direct', 'conv=fsync,notrunc'];
    same(await running('dd', `if=${CONTENT}`, `of=${file}`, ...options), '');
    longest = Math.max(longest, Date.now() - at);
    digests.set(file, digest(readFileSync(CONTENT)));
  }
  say(` ${turn} files of ${CONTENT_MIB} MiB written, each flushed, the longest in ${longest} ms`);
  return digests;
}

busybox('mount', '-t', 'ext4', '/dev/vdb', '/data');
await check(
  "servers and MDM die under a file system on the kernel's nbd: no error, every byte is right, fsck is clean",
  async () => {
    const device = await attach();
    say(` ${device} is there`);
    const digests = await writeOn();
    run('umount', MOUNT);
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    run('e2fsck', '-f', '-n', device);
    run('mount', '-o', 'ro', device, MOUNT);
    for (const [file, right] of digests)
      same(`${file} ${digest(readFileSync(file))}`, `${file} ${right}`);
    run('umount', MOUNT);
  },
);
say('-END');
process.exit(0);
