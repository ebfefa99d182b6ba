// Compute hosts of the cloud. Each is this machine seen through a mount and a UTS namespace of its own, held by a process
// that does nothing else: its own host name and its own directories in place of libvirt's, so that nothing below /etc or
// /var is changed. The first one shares /dev with the machine, and the SDC of the cluster; any other has its own of both.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { SERVICE_PATH } from './processes.js';
import { updateLedger, type CloudState } from './state.js';

export interface ComputeHost {
  /** Of Nova's service and of the hypervisor. */
  readonly name: string;
  readonly dir: string;
  /** Where guests' memory comes in when they migrate, and which its SDC announces. */
  readonly address: string;
  /** Holds the namespaces: a command that goes on until it is ended. */
  readonly keep: string;
  /** Runs a command inside: `enter COMMAND...`. */
  readonly enter: string;
  /** The same for what looks at devices: it sees what the SDC of the host mounts later on, too. */
  readonly enterDevices: string;
  /** The process that holds the namespaces. */
  readonly pidFile: string;
  readonly novaConfig: string;
  /** What the package of nova-hooks reads. */
  readonly hooksConfig: string;
  readonly libvirtSocket: string;
  /** Where Nova keeps its instances: the same path on every host, as libvirt keeps it when a guest moves. */
  readonly instances: string;
  /** A /dev and an SDC of its own. */
  readonly own: { readonly sdcConfig: string; readonly sdcSocket: string } | null;
}

/** Directories of libvirt's that a host has for itself. */
const OWN = {
  '/etc/libvirt': 'etc-libvirt',
  '/var/lib/libvirt': 'lib-libvirt',
  '/var/cache/libvirt': 'cache-libvirt',
  '/var/log/libvirt': 'log-libvirt',
  '/run/libvirt': 'run',
} as const;

/** Guests need neither a security driver nor control groups, which a container may not have. */
const QEMU_CONF = `user = "libvirt-qemu"
group = "kvm"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
`;

export const CONTROLLER = 'controller';
export const SECOND = 'compute2';
/** Loop devices are numbered for the whole machine; the SDC takes numbers from 128 on. */
const LOOPS = 320;

/** The hosts of a cloud. */
export function computeHosts(state: CloudState): readonly [ComputeHost, ComputeHost] {
  return [describeHost(state, CONTROLLER, 0), describeHost(state, SECOND, 1)];
}

function describeHost(state: CloudState, name: string, index: number): ComputeHost {
  const dir = path.join(state.root, 'hosts', name);
  const octets = state.address.split('.');
  octets[3] = String(((Number(octets[3]) + index) % 254) + 1);
  const at = (file: string): string => path.join(dir, file);
  return {
    ...{ name, dir, address: octets.join('.') },
    ...{
      keep: at('keep'),
      enter: at('enter'),
      enterDevices: at('enter-devices'),
      pidFile: at('keeper.pid'),
    },
    ...{ novaConfig: at('nova-compute.conf'), hooksConfig: at('meshsan-nova.conf') },
    libvirtSocket: at('run/libvirt-sock'),
    instances: path.join(state.root, 'instances'),
    own: index === 0 ? null : { sdcConfig: at('sdc.json'), sdcSocket: at('sdc.sock') },
  };
}

/** Writes what a host consists of. */
export function writeHost(host: ComputeHost): void {
  for (const name of Object.values(OWN))
    mkdirSync(path.join(host.dir, name), { recursive: true, mode: 0o755 });
  for (const dir of [host.dir, path.dirname(host.dir)]) chmodSync(dir, 0o711);
  // Nova names the host that a guest moves to by its address.
  const byAddress = path.join(path.dirname(host.dir), host.address);
  rmSync(byAddress, { force: true });
  symlinkSync(host.name, byAddress);
  const etc = path.join(host.dir, OWN['/etc/libvirt']);
  writeFileSync(path.join(etc, 'qemu.conf'), QEMU_CONF);
  writeFileSync(path.join(etc, 'libvirtd.conf'), libvirtdConf(host));
  const binds = Object.entries(OWN).map(
    ([at, name]) => `mount --bind '${path.join(host.dir, name)}' ${at}`,
  );
  const inside = [
    ...binds,
    ...(host.own === null
      ? []
      : [
          `mkdir -p '${path.join(host.dir, 'instances')}'`,
          `mount --bind '${path.join(host.dir, 'instances')}' '${host.instances}'`,
          ...ownDevices(path.join(host.dir, 'dev')),
        ]),
    `hostname ${host.name}`,
    `echo $$ >'${host.pidFile}'`,
    'exec sleep infinity',
  ].join('\n');
  script(
    host.keep,
    `# Holds the namespaces of compute host ${host.name}. What an earlier life left must not look like this one.
cd '${host.dir}' && rm -f keeper.pid sdc.sock run/*-sock run/*-sock-ro
exec unshare --mount --uts --propagation slave sh -ec '
${inside.replaceAll("'", `'\\''`)}
'`,
  );
  script(
    host.enter,
    `# Runs a command on compute host ${host.name}: in its view of the file system, under its name.
exec nsenter --mount --uts --target "$(cat '${host.pidFile}')" "$@"`,
  );
  // Mounts of the machine reach no namespace that was made before them, unless the machine shares its mounts.
  const spaces = host.own === null ? '--uts' : '--mount --uts';
  script(
    host.enterDevices,
    `# Runs a command under the name of compute host ${host.name}, where the devices of its SDC are.
exec nsenter ${spaces} --target "$(cat '${host.pidFile}')" "$@"`,
  );
}

/** A /dev with what libvirt, QEMU and the SDC use, and nothing of the machine's other devices. */
function ownDevices(dir: string): string[] {
  const copied = ['null', 'zero', 'full', 'random', 'urandom', 'tty', 'fuse', 'loop-control'];
  return [
    `mkdir -p '${dir}'`,
    `mount -t tmpfs -o dev,nosuid,mode=755 dev '${dir}'`,
    `cd '${dir}'`,
    `for name in ${copied.join(' ')}; do cp -a /dev/$name .; done`,
    `n=0; while [ $n -lt ${LOOPS} ]; do mknod -m 660 loop$n b 7 $n; n=$((n + 1)); done`,
    'mkdir -p pts shm disk/by-id net',
    'mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts pts',
    'mount -t tmpfs -o nosuid,nodev shm shm',
    'ln -s pts/ptmx ptmx; ln -s /proc/self/fd fd',
    'cd /',
    `mount --rbind '${dir}' /dev`,
  ];
}

function script(file: string, text: string): void {
  writeFileSync(file, `#!/bin/sh\n${text}\n`, { mode: 0o700 });
}

function libvirtdConf(host: ComputeHost): string {
  const digest = createHash('sha256').update(host.dir).digest('hex');
  const [, ...parts] = /^(.{8})(.{4})(.{4})(.{4})(.{12})/.exec(digest) ?? [];
  // Two hosts of one machine must not look like one to each other.
  return `host_uuid = "${parts.join('-')}"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n`;
}

/** Directories that must exist to be covered; those that are made are removed again by --purge. */
export function prepareHosts(state: CloudState): void {
  for (const at of Object.keys(OWN)) {
    if (existsSync(at)) continue;
    updateLedger(state, (ledger) => ledger.created.push(at));
    mkdirSync(at, { recursive: true });
  }
}

/** Whether the process that holds a host's namespaces has made them. */
export function isKept({ pidFile }: ComputeHost): boolean {
  return existsSync(pidFile) && existsSync(`/proc/${readFileSync(pidFile, 'utf8').trim()}`);
}

/** Runs a command on a host; returns what it printed. */
export async function onHost(host: ComputeHost, ...words: string[]): Promise<string> {
  const { stdout } = await execa(host.enter, words, {
    extendEnv: false,
    env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8' },
    stdin: 'ignore',
    timeout: 30000,
  });
  return stdout;
}

/** Ends every guest of the cloud: they are no children of its services. */
export async function endGuests(state: CloudState): Promise<void> {
  for (const host of computeHosts(state)) {
    if (!existsSync(host.libvirtSocket)) continue;
    const virsh = (...words: string[]) =>
      execa('virsh', ['-q', '-c', `qemu+unix:///system?socket=${host.libvirtSocket}`, ...words], {
        extendEnv: false,
        env: { PATH: SERVICE_PATH, LC_ALL: 'C.UTF-8' },
        stdin: 'ignore',
        timeout: 30000,
        reject: false,
      });
    const { stdout } = await virsh('list', '--name');
    for (const name of stdout.split('\n').filter((line) => line !== ''))
      await virsh('destroy', name);
  }
}
