// Makes what a guest boots from: Debian's kernel as it is, a small initrd with the modules that are needed, and a disk with
// Node, our programs and the judges. It owns the folder that it is given; it must never change the host.

import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { FILES } from '../../backend/deploy/packages/definitions.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const DISK_SIZE = '900M';
const ROOM_SIZE = '8G';
const MODULES = [
  ...['drivers/virtio/virtio_ring', 'drivers/virtio/virtio'],
  ...['drivers/virtio/virtio_pci_modern_dev', 'drivers/virtio/virtio_pci_legacy_dev'],
  ...['drivers/virtio/virtio_pci', 'drivers/block/virtio_blk', 'fs/fuse/fuse', 'fs/fuse/cuse'],
  ...['drivers/block/nbd', 'drivers/block/loop'],
  ...['net/core/failover', 'drivers/net/net_failover', 'drivers/net/virtio_net'],
] as const;
/** What the judges run beside ours; in the guest found by the same paths as here. */
const PROGRAMS = [
  ...['/usr/bin/node', '/usr/bin/python3', '/bin/busybox', '/usr/sbin/nbd-client'],
  ...['/bin/mount', '/bin/umount', '/sbin/losetup', '/sbin/blockdev', '/sbin/blkdiscard'],
  ...['/sbin/mkfs.ext4', '/sbin/e2fsck', '/sbin/resize2fs', '/sbin/lvm', '/bin/udevadm'],
  ...[
    '/bin/readlink',
    '/bin/dd',
    '/bin/cp',
    '/bin/sync',
    '/usr/bin/timeout',
    '/usr/bin/env',
    '/usr/bin/truncate',
  ],
] as const;
/** What Python needs at run time, and os-brick's own code, unmodified; Debian's rules of udev and settings of LVM. */
const FOLDERS = [
  ...['/usr/lib/python3.11', '/usr/lib/python3/dist-packages/os_brick'],
  ...['/lib/udev', '/etc/lvm'],
] as const;
/** For a machine whose first program is systemd; modprobe and its modules, because the unit loads what it needs. */
const SYSTEMD = [
  ...['/lib/systemd/systemd', '/lib/systemd/systemd-journald', '/bin/systemctl', '/bin/journalctl'],
  ...['/sbin/modprobe', '/bin/sh'],
] as const;
const LOADABLE = [
  'fs/fuse/fuse',
  'fs/fuse/cuse',
  'drivers/block/loop',
  'drivers/block/nbd',
] as const;
const JUDGE_UNITS: Readonly<Record<string, string>> = {
  'judge.target': '[Unit]\nRequires=judge.service\n',
  'judge.service': `[Unit]
Requires=basic.target
After=basic.target
DefaultDependencies=no
[Service]
Type=oneshot
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ExecStart=/usr/bin/node /meshsan/dist/test/guest/unit.js
ExecStopPost=/bin/busybox poweroff -f
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
`,
  // The unit as it is packaged, with another client.
  'meshsan-sdc.service.d/judge.conf': `[Service]
ExecStart=
ExecStart=/usr/lib/meshsan/libexec/io-flusher /usr/lib/meshsan/bin/node /meshsan/dist/test/guest/client.js
`,
};

/** What our packages bring to a compute host: from the repository, and where it lies there. */
const DROP_INS: readonly (readonly [string, string])[] = [
  ['nova-hooks/etc/udev/rules.d/60-meshsan.rules', '/lib/udev/rules.d/60-meshsan.rules'],
  ['nova-hooks/etc/lvm/meshsan-lvmlocal.conf', '/etc/lvm/lvmlocal.conf'],
  [`${FILES}/libexec/nbd-device`, `/meshsan/${FILES}/libexec/nbd-device`],
  [`${FILES}/libexec/io-flusher`, `/meshsan/${FILES}/libexec/io-flusher`],
  [`${FILES}/libexec/io-flusher`, '/usr/lib/meshsan/libexec/io-flusher'],
  [`${FILES}/units/meshsan-sdc.service`, '/lib/systemd/system/meshsan-sdc.service'],
];

export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
  /** An ext4 file system with a secret for storage servers in it, sparse. */
  readonly room: string;
  /** Where all of it lies, and the secret. */
  readonly folder: string;
}

/** @throws Error when Debian's kernel is not installed */
export async function makeImage(folder: string): Promise<GuestImage> {
  const version = newestKernel();
  const secret = join(folder, 'secret');
  writeFileSync(secret, randomBytes(32).toString('hex'), { mode: 0o600 });
  const initrd = join(folder, 'initrd');
  const disk = join(folder, 'disk');
  await makeInitrd(folder, initrd, version);
  await makeDisk(folder, disk, version);
  const room = join(folder, 'room');
  const content = join(folder, 'room.d');
  mkdirSync(content);
  copyFileSync(secret, join(content, 'secret'));
  await execa('truncate', ['-s', ROOM_SIZE, room]);
  await execa('mkfs.ext4', ['-q', '-d', content, '-E', 'root_owner=0:0', room]);
  return { kernel: `/boot/vmlinuz-${version}`, initrd, disk, room, folder };
}

function newestKernel(): string {
  const found = readdirSync('/boot')
    .flatMap((name) => /^vmlinuz-(.*amd64)$/.exec(name)?.[1] ?? [])
    .sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
    .at(-1);
  if (found === undefined)
    throw new Error("no kernel of Debian's in /boot: install linux-image-cloud-amd64");
  return found;
}

async function makeInitrd(folder: string, target: string, version: string): Promise<void> {
  const tree = join(folder, 'initrd.d');
  for (const name of ['bin', 'm']) mkdirSync(join(tree, name), { recursive: true });
  copyFileSync('/bin/busybox', join(tree, 'bin/busybox'));
  const init = join(tree, 'init');
  copyFileSync(join(ROOT, 'test/guest/init'), init);
  await execa('chmod', ['755', init, join(tree, 'bin/busybox')]);
  const names = MODULES.map((path) => `${path.split('/').at(-1) ?? ''}.ko`);
  MODULES.forEach((path, index) => {
    const from = `/lib/modules/${version}/kernel/${path}.ko`;
    copyFileSync(from, join(tree, 'm', names[index] ?? ''));
  });
  writeFileSync(join(tree, 'm/order'), `${names.join('\n')}\n`);
  await execa('sh', ['-c', 'find . | cpio --quiet -o -H newc -R 0:0 >"$1"', 'sh', target], {
    cwd: tree,
  });
}

async function makeDisk(folder: string, target: string, version: string): Promise<void> {
  const tree = join(folder, 'disk.d');
  for (const name of [
    'proc',
    'sys',
    'dev',
    'tmp',
    'run',
    'data',
    'root',
    'mnt',
    'meshsan',
    'usr/bin',
    'usr/sbin',
    'usr/lib',
  ])
    mkdirSync(join(tree, name), { recursive: true });
  // As on any Debian: programs are found under both paths.
  for (const name of ['bin', 'sbin', 'lib']) symlinkSync(`usr/${name}`, join(tree, name));
  for (const program of PROGRAMS) await copyProgram(program, tree);
  for (const path of FOLDERS) await copyTree(path, join(tree, dirname(path)));
  mkdirSync(join(tree, 'lib/systemd'), { recursive: true });
  symlinkSync('/bin/udevadm', join(tree, 'lib/systemd/systemd-udevd'));
  for (const [from, to] of DROP_INS) {
    mkdirSync(join(tree, dirname(to)), { recursive: true });
    copyFileSync(join(ROOT, from), join(tree, to));
  }
  await addSystemd(tree, version);
  // Not the packages, which may have been built beside them.
  for (const name of ['backend', 'test'])
    await copyTree(join(ROOT, 'dist', name), join(tree, 'meshsan', 'dist'));
  await copyTree(join(ROOT, 'package.json'), join(tree, 'meshsan'));
  const listed = await execa('npm', ['ls', '--omit=dev', '--parseable', '--all'], {
    ...{ cwd: ROOT, reject: false },
  });
  for (const path of listed.stdout.split('\n')) {
    const at = path.indexOf('/node_modules/');
    if (at < 0) continue;
    await copyTree(path, join(tree, 'meshsan', dirname(path.slice(at + 1))));
  }
  await execa('truncate', ['-s', DISK_SIZE, target]);
  await execa('mkfs.ext4', ['-q', '-d', tree, '-E', 'root_owner=0:0', target]);
}

/** Debian's systemd and its units, the service as it is packaged, and the judge as a service. */
async function addSystemd(tree: string, version: string): Promise<void> {
  for (const program of SYSTEMD) await copyProgram(program, tree);
  await execa('cp', ['-a', '/lib/systemd/system', join(tree, 'lib/systemd')]);
  for (const [from, to] of DROP_INS) copyFileSync(join(ROOT, from), join(tree, to));
  const home = join(tree, 'usr/lib/meshsan');
  mkdirSync(join(home, 'bin'), { recursive: true });
  symlinkSync('/usr/bin/node', join(home, 'bin/node'));
  symlinkSync('/meshsan/dist/backend', join(home, 'backend'));
  await execa('chmod', ['755', join(home, 'libexec/io-flusher')]);
  const units = join(tree, 'etc/systemd/system');
  mkdirSync(join(units, 'meshsan-sdc.service.d'), { recursive: true });
  for (const [name, text] of Object.entries(JUDGE_UNITS)) writeFileSync(join(units, name), text);
  const accounts = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n';
  writeFileSync(join(tree, 'etc/passwd'), accounts);
  writeFileSync(join(tree, 'etc/group'), 'root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n');
  writeFileSync(join(tree, 'etc/machine-id'), `${'5'.repeat(32)}\n`);
  const modules = join(tree, 'lib/modules', version);
  for (const path of LOADABLE) await copyFile(`/lib/modules/${version}/kernel/${path}.ko`, tree);
  for (const name of ['modules.order', 'modules.builtin'])
    copyFileSync(`/lib/modules/${version}/${name}`, join(modules, name));
  await execa('depmod', ['-b', tree, version]);
}

/** A program under its own path, with the libraries that it names. */
async function copyProgram(program: string, tree: string): Promise<void> {
  await copyFile(program, tree);
  const { stdout } = await execa('ldd', [program], { reject: false });
  for (const library of stdout.match(/\/[^ ]+(?= \(0x)/g) ?? []) await copyFile(library, tree);
}

async function copyFile(path: string, tree: string): Promise<void> {
  mkdirSync(join(tree, dirname(path)), { recursive: true });
  await execa('cp', ['-L', '--preserve=mode', path, join(tree, path)]);
}

async function copyTree(path: string, into: string): Promise<void> {
  mkdirSync(into, { recursive: true });
  await execa('cp', ['-rL', '--preserve=mode', path, into]);
}
