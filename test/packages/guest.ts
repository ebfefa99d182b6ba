// The launcher io-flusher under a kernel that gives root every capability: a QEMU guest with Debian's own kernel, the
// packaged script and the Python that it runs on. It must never need more than what this host has installed.

import assert from 'node:assert/strict';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { FILES } from '../../backend/deploy/packages/definitions.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const KERNEL = /^vmlinuz-.*-amd64$/;
const BOOT_MS = 240_000;
/** Folders of Python's library that this needs no part of, and that are large. */
const LEFT_OUT =
  /\/(test|tests|idlelib|lib2to3|distutils|pydoc_data|config-3[^/]*|__pycache__|asyncio|tkinter|ensurepip)(\/|$)/;

/** Marks itself as root, then as a service user with nothing but the one capability; shows what is left of both. */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
/bin/busybox mkdir -p /dev
/bin/busybox mount -t devtmpfs dev /dev
show='/bin/busybox cat /proc/self/stat; /bin/busybox grep CapEff /proc/self/status; (/bin/busybox cat /proc/self/stat)'
echo "BEGIN plain"; /bin/busybox sh -c "$show"
echo "BEGIN root"; /usr/bin/python3 -I /io-flusher /bin/busybox sh -c "$show"
echo "BEGIN user"; /usr/bin/setpriv --reuid=1000 --clear-groups --no-new-privs --bounding-set=-all,+sys_resource --inh-caps=-all,+sys_resource --ambient-caps=-all,+sys_resource /usr/bin/python3 -I /io-flusher /bin/busybox sh -c "$show"
echo "BEGIN refused"; /usr/bin/setpriv --reuid=1000 --clear-groups --bounding-set=-all --inh-caps=-all /usr/bin/python3 -I /io-flusher /bin/busybox sh -c "$show" 2>&1
echo "END"
/bin/busybox poweroff -f
`;

async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await execa('ldd', [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

async function buildInitrd(root: string, image: string): Promise<void> {
  const place = (path: string): string => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    return join(root, path);
  };
  const { stdout: version } = await execa('/usr/bin/python3', [
    ...['-I', '-c', 'import sys; print("%d.%d" % sys.version_info[:2])'],
  ]);
  const library = `/usr/lib/python${version}`;
  const dynamic = join(library, 'lib-dynload');
  const natives = readdirSync(dynamic).filter((name) => /^_(ctypes|struct)\./.test(name));
  const programs = [
    `/usr/bin/python${version}`,
    '/usr/bin/setpriv',
    ...natives.map((name) => join(dynamic, name)),
  ];
  copyFileSync('/bin/busybox', place('/bin/busybox'));
  for (const program of programs) {
    copyFileSync(program, place(program));
    for (const needed of await librariesOf(program)) copyFileSync(needed, place(needed));
  }
  symlinkSync(`python${version}`, place('/usr/bin/python3'));
  cpSync(library, place(library), {
    recursive: true,
    filter: (path) => !LEFT_OUT.test(path) && (!path.startsWith(dynamic) || path === dynamic),
    errorOnExist: false,
    force: false,
  });
  copyFileSync(join(ROOT, FILES, 'libexec', 'io-flusher'), place('/io-flusher'));
  writeFileSync(place('/init'), INIT, { mode: 0o755 });
  const pack = 'find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 >"$0"';
  await execa('sh', ['-c', pack, image], { cwd: root });
}

const CAP_SYS_RESOURCE = 24n;

/** Whether this host lets anybody have CAP_SYS_RESOURCE; nobody gets it back where it has been taken from all. */
export function hasResourceCapability(): boolean {
  const [, mask = '0'] =
    /^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${mask}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

/** Process flags of each stat line of a section. */
function flagsOf(section: string): number[] {
  return [...section.matchAll(/^\d+ \(.*\) (.*)$/gm)].map((match) =>
    Number((match[1] ?? '').split(' ')[6]),
  );
}

/**
 * Boots the guest.
 * @param mark - process flags that the launcher sets
 */
export async function flusherGuest(mark: number): Promise<readonly string[]> {
  const kernel = readdirSync('/boot')
    .filter((name) => KERNEL.test(name))
    .at(-1);
  if (kernel === undefined || !existsSync('/usr/bin/qemu-system-x86_64'))
    throw new Error('needs a kernel of Debian in /boot and qemu-system-x86');
  const scratch = mkdtempSync(join(tmpdir(), 'meshsan-flusher-'));
  try {
    const image = join(scratch, 'initrd.gz');
    await buildInitrd(join(scratch, 'root'), image);
    const { stdout } = await execa(
      'qemu-system-x86_64',
      [
        ...[
          '-accel',
          'tcg',
          '-m',
          '768',
          '-nographic',
          '-no-reboot',
          '-nodefaults',
          '-serial',
          'stdio',
        ],
        ...['-kernel', join('/boot', kernel), '-initrd', image],
        ...['-append', 'console=ttyS0 quiet panic=-1 random.trust_cpu=on'],
      ],
      { stdin: 'ignore', timeout: BOOT_MS, killSignal: 'SIGKILL' },
    );
    const text = stdout.replaceAll('\r', '');
    const section = (name: string): string =>
      text.split(`BEGIN ${name}\n`)[1]?.split('BEGIN ')[0] ?? '';
    assert.match(text, /^END$/m, text);
    for (const [name, expected] of [
      ['plain', 0],
      ['refused', 0],
      ['root', mark],
      ['user', mark],
    ] as const) {
      const flags = flagsOf(section(name));
      assert.equal(flags.length, 2, `a process and its child: ${section(name)}`);
      for (const value of flags) assert.equal(value & mark, expected, `${name}: ${section(name)}`);
    }
    assert.match(section('user'), /CapEff:\t0000000000000000/, 'the capability is given up');
    assert.match(section('refused'), /not protected: Operation not permitted/);
    return [
      `under ${kernel}: set for root and for a service user, inherited by children; said where it is refused`,
    ];
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
