// `npm run guest`: what needs a kernel with CUSE and nbd, proved in a virtual machine with Debian's own kernel (QEMU without
// hardware support, so it takes minutes). `-- --only PART,...`: scini (/dev/scini as a character device, asked by os-brick's
// own code), attach (block devices by the kernel's nbd through our holder; udev's and LVM's view of them), client (Debian's
// nbd-client on our NBD server), unit (the client's service under systemd, in a machine of its own), memory and memory-host
// (an attached volume when memory is short, likewise; the storage servers elsewhere, or on the same host), deaths (a file system on
// the kernel's nbd while servers and MDM are killed beside the machine). It owns the machines; what is judged is in inside.ts,
// unit.ts, memory.ts, deaths.ts.

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
  '/sbin/ip': 'iproute2',
  '/sbin/lvm': 'lvm2',
  '/bin/udevadm': 'udev',
  '/usr/lib/python3/dist-packages/os_brick': 'python3-os-brick',
};
const PARTS: readonly string[] = [
  ...['scini', 'attach', 'client', 'unit', 'memory', 'memory-host', 'deaths'],
];
const HELP = `Usage: npm run guest -- [--only PART,...] [--console]
Proves what needs a kernel with CUSE and nbd, in a virtual machine with Debian's own kernel (QEMU without hardware support,
so it takes minutes). Parts, all by default: ${PARTS.join(', ')}.
--console shows everything that a machine says.
Exit codes: 0 everything passed, 1 something failed, 2 wrong usage.
`;
const GUEST_MS = 20 * 60_000;
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** One start of a machine. */
interface Boot {
  /** On the kernel's command line. */
  readonly words: string;
  readonly memoryMib: number;
  /** Storage servers run beside the machine, which has a network then. */
  readonly withServers: boolean;
  /** What becomes of those servers; left out: nothing. */
  readonly fate?: 'quiet' | 'deaths';
}

function bootsOf(parts: readonly string[]): Boot[] {
  const own = ['unit', 'memory', 'memory-host', 'deaths'];
  const inside = parts.filter((part) => !own.includes(part)).join(',');
  const systemd = 'systemd.unit=judge.target systemd.show_status=no';
  const memory = 'cgroup_no_v1=all guest.judge=memory guest.servers';
  const all: Readonly<Record<string, Boot>> = {
    unit: { words: systemd, memoryMib: 2048, withServers: false },
    memory: { words: `${memory}=outside`, memoryMib: 1024, withServers: true },
    deaths: {
      words: 'guest.judge=deaths guest.servers=outside',
      ...{ memoryMib: 1024, withServers: true, fate: 'deaths' },
    },
    'memory-host': { words: `${memory}=inside`, memoryMib: 2048, withServers: false },
  };
  return [
    ...(inside === ''
      ? []
      : [{ words: `guest.only=${inside}`, memoryMib: 2048, withServers: false }]),
    ...own.filter((part) => parts.includes(part)).flatMap((part) => all[part] ?? []),
  ];
}

/** What runs a command in a network of its own, with storage servers beside it. */
function besideServers(folder: string, fate: string): readonly string[] {
  const asRoot = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const program = join(import.meta.dirname, 'outside.js');
  return ['unshare', ...asRoot, '--net', process.execPath, program, folder, fate];
}

/** Boots the machine and lets it run; returns how many checks passed and failed. */
async function judge(
  { kernel, initrd, disk, room, folder }: GuestImage,
  { words, memoryMib, withServers, fate = 'quiet' }: Boot,
  wantsConsole: boolean,
): Promise<[number, number]> {
  let passed = 0;
  let failed = 0;
  let ended = false;
  const network = withServers
    ? ['-netdev', 'user,id=n', '-device', 'virtio-net-pci,netdev=n,romfile=']
    : ['-net', 'none'];
  const machine = execa(
    'env',
    [
      ...(withServers ? besideServers(folder, fate) : []),
      ...['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-no-reboot'],
      ...['-display', 'none', ...network],
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', String(memoryMib)],
      ...['-serial', 'stdio', '-kernel', kernel, '-initrd', initrd],
      ...['-append', `console=ttyS0 quiet panic=-1 ${words}`],
      ...[disk, room].flatMap((file) => [
        '-drive',
        `file=${file},format=raw,if=virtio,cache=unsafe`,
      ]),
    ],
    { reject: false, timeout: GUEST_MS, stdin: 'ignore', all: true, buffer: false },
  );
  for await (const line of machine) {
    const text = line.replaceAll('\r', '');
    if (!text.includes('GUEST')) {
      if (wantsConsole) say(`  ${text}`);
      continue;
    }
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
  const { only, console: wantsConsole } = readFlags(args, {
    only: { type: 'string' },
    console: { type: 'boolean' },
  });
  const parts = only === null ? [] : listOf('--only', only, PARTS);
  const missing = Object.entries(NEEDS).flatMap(([path, name]) => (existsSync(path) ? [] : [name]));
  if (missing.length > 0) throw new Error(`needs Debian's packages: ${missing.join(' ')}`);
  const folder = mkdtempSync(join(tmpdir(), 'meshsan-guest-'));
  try {
    say('Making the guest ...');
    const image = await makeImage(folder);
    let [passed, failed] = [0, 0];
    for (const boot of bootsOf(parts.length === 0 ? PARTS : parts)) {
      say(`Booting ${image.kernel} (${boot.words}) ...`);
      const [well, badly] = await judge(image, boot, wantsConsole);
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
