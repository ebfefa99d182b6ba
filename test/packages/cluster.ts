// The cluster of the package test, made on one machine with the commands of backend/docs/packages.md; the second server is a
// copy of the packaged unit. It must never use anything but what the packages installed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Machine } from './machine.js';
import { until } from '../support/until.js';

export const SERVICES = ['meshsan-mdm', 'meshsan-sds', 'meshsan-sdc', 'meshsan-gateway'] as const;
const MDM = '127.0.0.1';
/** Commands that wait for a process that is starting. */
const PATIENCE_MS = 120_000;

/** Process id of a service's main process; 0: none. */
export async function mainPid(machine: Machine, unit: string): Promise<number> {
  const text = await machine.run('systemctl', 'show', '--value', '-p', 'MainPID', unit);
  return Number(text);
}

/** Processes inside whose command line matches. */
export async function pidsOf(machine: Machine, command: RegExp): Promise<number[]> {
  const text = await machine.run('ps', '-e', '-o', 'pid=,args=');
  return text
    .split('\n')
    .map((line) => /^\s*(\d+) (.*)$/.exec(line))
    .flatMap((match) => (match !== null && command.test(match[2] ?? '') ? [Number(match[1])] : []));
}

/** The block device of the volume. */
export async function deviceOf(machine: Machine): Promise<string> {
  const text = await machine.shell('ls /dev/disk/by-id/emc-vol-*');
  const [first = ''] = text.split('\n');
  return first;
}

interface Setup {
  readonly changed: boolean;
  readonly guid?: string;
}

/** Runs meshsan-setup twice: the second time must change nothing. */
async function setUp(machine: Machine, ...args: readonly string[]): Promise<Setup> {
  const first = JSON.parse(await machine.run('meshsan-setup', ...args)) as Setup;
  assert.ok(first.changed, args.join(' '));
  const second = JSON.parse(await machine.run('meshsan-setup', ...args)) as Setup;
  assert.ok(!second.changed, args.join(' '));
  return first;
}

async function scli(machine: Machine, ...args: readonly string[]): Promise<string> {
  return machine.run('scli', ...args);
}

/** As scli(), again while a process that it needs is still starting. */
async function scliWhenReady(machine: Machine, ...args: readonly string[]): Promise<void> {
  let said = '';
  await until(
    `scli ${args.join(' ')}`,
    async () => {
      const { code, stdout, stderr } = await machine.try('scli', ...args);
      said = stdout + stderr;
      return code === 0;
    },
    PATIENCE_MS,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${said}`);
  });
}

/** Another server of this machine: the packaged unit under another name and address. */
async function secondServer(machine: Machine): Promise<void> {
  await machine.shell(`
    sed -e 's#/etc/meshsan/sds.json#/etc/meshsan/sds2.json#' -e 's#meshsan/sds$#meshsan/sds2#' \\
        -e 's#/run/meshsan-sds#/run/meshsan-sds2#' -e 's#^RuntimeDirectory=.*#RuntimeDirectory=meshsan-sds2#' \\
        /lib/systemd/system/meshsan-sds.service > /etc/systemd/system/meshsan-sds2.service
    /usr/lib/meshsan/bin/node -e '
      const { readFileSync, writeFileSync } = require("node:fs");
      const config = JSON.parse(readFileSync("/etc/meshsan/sds.json", "utf8"));
      config.name = "n2";
      config.addresses = [{ host: "127.0.0.2", role: "all" }];
      config.secretFile = "/run/meshsan-sds2/secret";
      config.stateDir = "/var/lib/meshsan/sds2";
      writeFileSync("/etc/meshsan/sds2.json", JSON.stringify(config), { mode: 0o600 });'
    systemctl daemon-reload`);
}

/** From configuration to a mapped volume. */
export async function clusterStory({
  machine,
}: {
  readonly machine: Machine;
}): Promise<readonly string[]> {
  await setUp(machine, 'mdm', '--name', 'm1', '--address', MDM, '--system-name', 'prod');
  await setUp(machine, 'scli', '--mdm', MDM);
  await setUp(machine, 'sds', '--name', 'n1', '--address', '127.0.0.1', '--mdm', MDM);
  const { guid = '' } = await setUp(
    machine,
    ...['sdc', '--name', 'c1', '--address', '127.0.0.1', '--mdm', MDM, '--attach', 'all'],
  );
  await setUp(machine, 'gateway', '--listen', '127.0.0.1:4443', '--mdm', MDM);
  await secondServer(machine);
  await machine.run('systemctl', 'start', ...SERVICES, 'meshsan-sds2');
  const password = readFileSync(machine.path('/etc/meshsan/admin-password'), 'utf8');
  await until('the MDM answers', async () => {
    const { code } = await machine.try('scli', '--query_cluster');
    return code === 0;
  });
  await machine.feed(password, 'scli', '--login', '--username', 'admin');
  await scli(machine, '--add_protection_domain', '--protection_domain_name', 'pd1');
  const pool = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'sp1'];
  await scli(
    machine,
    '--add_storage_pool',
    ...pool,
    '--media_type',
    'SSD',
    '--enable_zero_padding',
  );
  for (const [name, host, disk] of [
    ['n1', '127.0.0.1', '/dev/vdb'],
    ['n2', '127.0.0.2', '/dev/vdc'],
  ] as const)
    await scliWhenReady(
      machine,
      ...['--add_sds', '--sds_name', name, '--sds_ip', host, '--device_path', disk, ...pool],
    );
  const volume = ['--volume_name', 'v1'];
  await scliWhenReady(
    machine,
    ...['--add_volume', ...pool, ...volume, '--size_gb', '8', '--thin_provisioned'],
  );
  await scliWhenReady(machine, '--map_volume_to_sdc', ...volume, '--sdc_guid', guid);
  await until('the volume is a block device', async () => {
    const { code } = await machine.try(
      'sh',
      '-c',
      'ls /dev/disk/by-id/emc-vol-* && test -b /dev/scinia',
    );
    return code === 0;
  });
  assert.match(await machine.run('drv_cfg', '--query_guid'), new RegExp(guid, 'i'));
  return [`volume v1 is ${await deviceOf(machine)}`];
}
