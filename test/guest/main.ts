// `npm run guest`: what needs a kernel with CUSE and nbd, proved in a virtual machine with Debian's own kernel (QEMU without
// hardware support, so it takes minutes). `-- --only PART,...`: scini (/dev/scini as a character device, asked by os-brick's
// own code), attach (block devices by the kernel's nbd through our holder; udev's and LVM's view of them), client (Debian's
// nbd-client on our NBD server), unit (the client's service under systemd, in a machine of its own). It owns the machine; what
// is judged is in inside.ts and unit.ts.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

import { listOf, readFlags, runTool } from '../../backend/runtime/flags.js';
import { makeImage } from './image.js';
import type { GuestImage } from './image.js';

const NEEDS: Readonly<Record<string, string>> = {
  '/usr/bin/qemu-system-x86_64': 'qemu-system-x86',
  '/bin/busybox': 'busybox-static',
  '/usr/sbin/nbd-client': 'nbd-client',
  '/sbin/mkfs.ext4': 'e2fsprogs',
  '/usr/bin/cpio': 'cpio',
  '/sbin/lvm': 'lvm2',
  '/bin/udevadm': 'udev',
  '/usr/lib/python3/dist-packages/os_brick': 'python3-os-brick',
};
const PARTS: readonly string[] = ['scini', 'attach', 'client', 'unit'];
const HELP = `Usage: npm run guest -- [--only PART,...]
Proves what needs a kernel with CUSE and nbd, in a virtual machine with Debian's own kernel (QEMU without hardware support,
so it takes minutes). Parts, all by default: ${PARTS.join(', ')}.
Exit codes: 0 everything passed, 1 something failed, 2 wrong usage.
`;
const GUEST_MS = 20 * 60_000;
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Boots the machine and lets it run; returns how many checks passed and failed. */
async function judge(
  { kernel, initrd, disk }: GuestImage,
  words: string,
): Promise<[number, number]> {
  let passed = 0;
  let failed = 0;
  let ended = false;
  const machine = execa(
    'qemu-system-x86_64',
    [
      ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-net', 'none'],
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '2048'],
      ...['-serial', 'stdio', '-kernel', kernel, '-initrd', initrd],
      ...['-append', `console=ttyS0 quiet panic=-1 ${words}`],
      ...['-drive', `file=${disk},format=raw,if=virtio`],
    ],
    { reject: false, timeout: GUEST_MS, stdin: 'ignore', all: true, buffer: false },
  );
  for await (const line of machine) {
    const text = line.replaceAll('\r', '');
    if (!text.includes('GUEST')) continue;
    say(text.slice(text.indexOf('GUEST')));
    if (text.includes('GUEST-PASSED')) passed += 1;
    if (text.includes('GUEST-FAILED')) failed += 1;
    if (text.includes('GUEST-END')) ended = true;
  }
  if (!ended) {
    say('The guest ended before its last check.');
    failed += 1;
  }
  return [passed, failed];
}

async function main(args: readonly string[]): Promise<number> {
  const { only } = readFlags(args, { only: { type: 'string' } });
  const parts = only === null ? [] : listOf('--only', only, PARTS);
  const missing = Object.entries(NEEDS).flatMap(([path, name]) => (existsSync(path) ? [] : [name]));
  if (missing.length > 0) throw new Error(`needs Debian's packages: ${missing.join(' ')}`);
  const folder = mkdtempSync(join(tmpdir(), 'meshsan-guest-'));
  try {
    say('Making the guest ...');
    const image = await makeImage(folder);
    const wanted = parts.length === 0 ? PARTS : parts;
    const inside = wanted.filter((part) => part !== 'unit');
    const boots = [
      ...(inside.length > 0 ? [`guest.only=${inside.join(',')}`] : []),
      ...(wanted.includes('unit') ? ['systemd.unit=judge.target systemd.show_status=no'] : []),
    ];
    let [passed, failed] = [0, 0];
    for (const words of boots) {
      say(`Booting ${image.kernel} (${words}) ...`);
      const [well, badly] = await judge(image, words);
      passed += well;
      failed += badly;
    }
    say(`${passed} passed, ${failed} failed`);
    return failed > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

runTool(HELP, main).catch((error: unknown) => {
  say(`guest: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
