// Builds the guest that the proofs boot: Debian's cloud kernel, busybox, and guest/init as its whole user space, on a FAT
// disk of 40 MB that boots by itself in a few seconds without a virtual CPU's help. It owns the files of one directory.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { REPOSITORY } from './meshsan.js';
import { SERVICE_PATH } from './processes.js';
import { RunError } from './progress.js';

const INIT = path.join(REPOSITORY, 'test', 'openstack', 'guest', 'init');
const KERNEL = /^vmlinuz-(.*-cloud-amd64)$/;
const DISK_BYTES = 40 * 1048576;
/** Both kinds of virtio-pci: the first machine types had only the legacy one. */
const MODULES = [
  ...['virtio', 'virtio_ring', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'].map(
    (name) => `drivers/virtio/${name}`,
  ),
  'drivers/block/virtio_blk',
];
const SYSLINUX = `SERIAL 0 115200
DEFAULT guest
PROMPT 0
LABEL guest
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND console=ttyS0 quiet panic=5
`;

function newestKernel(): string {
  const versions = readdirSync('/boot')
    .flatMap((name) => KERNEL.exec(name)?.[1] ?? [])
    .filter((version) => existsSync(path.join('/lib/modules', version)))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const newest = versions.at(-1);
  if (newest === undefined)
    throw new RunError('no kernel of the package linux-image-cloud-amd64 is in /boot');
  return newest;
}

/** Makes DIR/guest.qcow2 unless it is there and younger than what it is made of; returns its path. */
export async function buildGuest(dir: string): Promise<string> {
  const image = path.join(dir, 'guest.qcow2');
  if (existsSync(image) && statSync(image).mtimeMs > statSync(INIT).mtimeMs) return image;
  mkdirSync(dir, { recursive: true });
  const version = newestKernel();
  const scratch = mkdtempSync(path.join(dir, 'build-'));
  try {
    const initrd = await buildInitrd(scratch, version);
    await buildDisk(scratch, version, initrd, image);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return image;
}

async function buildInitrd(scratch: string, version: string): Promise<string> {
  const root = path.join(scratch, 'root');
  for (const folder of ['bin', 'm']) mkdirSync(path.join(root, folder), { recursive: true });
  copyFileSync('/bin/busybox', path.join(root, 'bin', 'busybox'));
  writeFileSync(path.join(root, 'init'), readFileSync(INIT), { mode: 0o755 });
  const modules = path.join('/lib/modules', version, 'kernel');
  for (const name of MODULES)
    copyFileSync(
      path.join(modules, `${name}.ko`),
      path.join(root, 'm', `${path.basename(name)}.ko`),
    );
  const initrd = path.join(scratch, 'initrd.gz');
  await run('sh', ['-c', 'find . | cpio --quiet -o -H newc -R 0:0 | gzip -9 >"$0"', initrd], root);
  return initrd;
}

async function buildDisk(
  scratch: string,
  version: string,
  initrd: string,
  image: string,
): Promise<void> {
  const disk = path.join(scratch, 'disk');
  const config = path.join(scratch, 'syslinux.cfg');
  const kernel = path.join(scratch, 'vmlinuz');
  copyFileSync(`/boot/vmlinuz-${version}`, kernel);
  writeFileSync(config, SYSLINUX);
  await run('truncate', ['-s', String(DISK_BYTES), disk]);
  await run('mkfs.vfat', ['-F', '16', '-n', 'MESHSAN', disk]);
  await run('syslinux', ['--install', disk]);
  await run('mcopy', ['-i', disk, config, kernel, initrd, '::/']);
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', disk, image]);
}

/** A disk image that tells the guest what to do each time it sees the disk: words of guest/init. */
export function writeScriptImage(file: string, words: readonly string[]): void {
  const content = Buffer.alloc(1048576);
  const text = `MESHSAN ${words.join(' ')}\n`;
  if (text.length > 512) throw new RunError(`a guest's script has at most 512 bytes: ${text}`);
  content.write(text);
  writeFileSync(file, content);
}

async function run(command: string, args: readonly string[], cwd = '/'): Promise<void> {
  await execa(command, args, {
    cwd,
    stdin: 'ignore',
    extendEnv: false,
    env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8' },
  });
}
