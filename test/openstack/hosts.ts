// Compute hosts of the cloud. Each is this machine seen through a mount and a UTS namespace of its own: its own host name
// and its own directories in place of libvirt's, so that nothing below /etc or /var is changed, and several can be had.
// What the machine mounts meanwhile is seen inside too.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { SERVICE_PATH } from './processes.js';
import { updateLedger, type CloudState } from './state.js';

export interface ComputeHost {
  /** Of Nova's service and of the hypervisor. */
  readonly name: string;
  readonly dir: string;
  /** Where guests' memory comes in when they migrate. */
  readonly address: string;
  /** Runs a command inside: `enter COMMAND...`. */
  readonly enter: string;
  readonly novaConfig: string;
  readonly libvirtSocket: string;
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

/** The hosts of a cloud. */
export function computeHosts(state: CloudState): ComputeHost[] {
  return [CONTROLLER].map((name, index) => {
    const dir = path.join(state.root, 'hosts', name);
    const octets = state.address.split('.');
    octets[3] = String(((Number(octets[3]) + index) % 254) + 1);
    return {
      name,
      dir,
      address: octets.join('.'),
      enter: path.join(dir, 'enter'),
      novaConfig: path.join(dir, 'nova-compute.conf'),
      libvirtSocket: path.join(dir, 'run', 'libvirt-sock'),
    };
  });
}

/** Writes what a host consists of. */
export function writeHost(host: ComputeHost): void {
  for (const name of Object.values(OWN))
    mkdirSync(path.join(host.dir, name), { recursive: true, mode: 0o755 });
  for (const dir of [host.dir, path.dirname(host.dir)]) chmodSync(dir, 0o711);
  const etc = path.join(host.dir, OWN['/etc/libvirt']);
  writeFileSync(path.join(etc, 'qemu.conf'), QEMU_CONF);
  writeFileSync(path.join(etc, 'libvirtd.conf'), libvirtdConf(host));
  const binds = Object.entries(OWN).map(
    ([at, name]) => `mount --bind '${path.join(host.dir, name)}' ${at}`,
  );
  const inside = [...binds, `hostname ${host.name}`, 'exec "$@"'].join('\n');
  const script = `#!/bin/sh
# Runs a command on compute host ${host.name}: in its own view of libvirt's directories, under its own host name.
exec unshare --mount --uts --propagation slave sh -ec '
${inside.replaceAll("'", `'\\''`)}
' enter "$@"
`;
  writeFileSync(host.enter, script, { mode: 0o700 });
}

function libvirtdConf(host: ComputeHost): string {
  const digest = createHash('sha256').update(host.dir).digest('hex');
  const uuid = [8, 4, 4, 4, 12].reduce<{ at: number; parts: string[] }>(
    ({ at, parts }, length) => ({
      at: at + length,
      parts: [...parts, digest.slice(at, at + length)],
    }),
    { at: 0, parts: [] },
  );
  // Two hosts of one machine must not look like one to each other.
  return `host_uuid = "${uuid.parts.join('-')}"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n`;
}

/** Directories that must exist to be covered; those that are made are removed again by --purge. */
export function prepareHosts(state: CloudState): void {
  for (const at of Object.keys(OWN)) {
    if (existsSync(at)) continue;
    updateLedger(state, (ledger) => ledger.created.push(at));
    mkdirSync(at, { recursive: true });
  }
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
