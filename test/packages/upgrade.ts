// `npm run packages:test -- --only upgrade`: three nodes with the packages of the last release, under fio on an attached volume,
// are brought to this version, back, and to this version again, by the deployer. It owns the nodes and the load; whatever fio
// complains of, or a fault of the upgrade, fails it.

import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../../backend/core/version.js';
import { Lab } from '../deploy/machines.js';
import type { Machine, MachineSpec } from '../deploy/machines.js';
import { RELEASED, releasedFault, releasedPackages } from '../support/released.js';
import { etcdProgram } from '../support/etcd-cluster.js';
import { until } from '../support/until.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const DEPLOYER = join(ROOT, 'dist', 'backend', 'bin', 'deploy.js');
const SPECS: readonly MachineSpec[] = [1, 2, 3].map((number) => ({
  name: `up-${number}`,
  management: `192.168.0.${100 + number}`,
  storage: `192.168.1.${100 + number}`,
  disks: ['/dev/vdb'],
}));
const SECRETS = ['secret', 'lia-token', 'lia-signer.pem', 'lia-signer-key.pem', 'admin-password'];
const POOL = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'sp1'];
/** fio gives up when a request takes so long. */
const STALL_S = 60;

type Say = (line: string) => void;

/** fio on the block device, verifying as it goes, until it is told to end. */
const LOAD = (device: string): readonly string[] => [
  ...['fio', '--name=load', `--filename=${device}`, '--ioengine=libaio', '--direct=1'],
  ...['--rw=randrw', '--rwmixread=30', '--bs=16k', '--iodepth=8', '--size=128m'],
  ...['--rate_iops=200', '--time_based=1', '--runtime=86400', `--max_latency=${STALL_S}s`],
  ...['--verify=crc32c', '--verify_fatal=1', '--verify_backlog=256', '--verify_state_save=0'],
  ...['--output-format=json', '--output=/root/fio.json', '--eta=never'],
];

interface FioSide {
  readonly total_ios: number;
  readonly clat_ns?: { readonly max: number };
}

class Nodes {
  readonly lab = new Lab(SPECS, [join(ROOT, 'dist')]);
  readonly #say: Say;
  #guid = '';

  constructor(say: Say) {
    this.#say = say;
  }

  get first(): Machine {
    return this.lab.machine('up-1');
  }

  async scli(...args: readonly string[]): Promise<string> {
    let said = '';
    return until(`scli ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await this.first.try('scli', ...args);
      if (code !== 0 && stderr !== said) this.#say(`      waits: ${stderr.trim()}`);
      said = stderr;
      return code === 0 ? `${stdout}\n` : null;
    });
  }

  /** Boots them and installs packages. */
  async boot(packages: string): Promise<void> {
    await this.lab.prepare();
    await Promise.all(this.lab.machines.map((machine) => machine.boot()));
    const install = `DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(ls ${packages}/*.deb | grep -v -e cinder -e nova)`;
    for (const machine of this.lab.machines) {
      await machine.makeLoopNodes();
      // As Debian's etcd-server brings it.
      copyFileSync(etcdProgram(), machine.path('/usr/bin/etcd'));
      chmodSync(machine.path('/usr/bin/etcd'), 0o755);
      await machine.run('sh', '-ec', install);
    }
    await this.first.run('meshsan-setup', 'system', '--name', 'prod');
    for (const machine of this.lab.machines.slice(1))
      for (const name of SECRETS) {
        mkdirSync(machine.path('/etc/meshsan'), { recursive: true });
        copyFileSync(this.first.path(`/etc/meshsan/${name}`), machine.path(`/etc/meshsan/${name}`));
      }
  }

  /** Where the deployer finds the secrets on the operator's machine. */
  secrets(): string {
    const folder = join(this.lab.dir, 'secrets');
    mkdirSync(folder, { mode: 0o700 });
    for (const name of SECRETS)
      writeFileSync(
        join(folder, name),
        readFileSync(this.first.path(`/etc/meshsan/${name}`), 'utf8'),
        { mode: 0o600 },
      );
    return folder;
  }

  async #configure(machine: Machine): Promise<void> {
    const { name, management, storage } = machine.spec;
    const mdms = SPECS.flatMap((spec) => ['--mdm', spec.management]);
    const standby =
      machine === this.first ? ['--system-name', 'prod'] : (['--standby'] as readonly string[]);
    const setups: readonly (readonly string[])[] = [
      ['mdm', '--name', name, '--address', management, ...standby],
      ['sds', '--name', name, '--address', storage, ...mdms],
      ['sdc', '--name', name, '--address', storage, '--attach', 'all', ...mdms],
      ['gateway', '--listen', `${management}:4443`, ...mdms],
      ['scli', ...mdms],
      ['lia', '--name', name, '--listen', management],
    ];
    for (const setup of setups) {
      const said = await machine.run('meshsan-setup', ...setup);
      const { guid } = JSON.parse(said) as { readonly guid?: string };
      if (guid !== undefined && machine === this.first) this.#guid = guid;
    }
    for (const service of ['mdm', 'sds', 'sdc', 'gateway', 'lia'])
      await machine.run('systemctl', 'enable', '--now', `meshsan-${service}`);
  }

  /** Three MDMs on etcd, three servers, a volume on the first node. */
  async cluster(): Promise<void> {
    for (const machine of this.lab.machines) await this.#configure(machine);
    await this.scli('--query_cluster');
    const login = 'scli --login --username admin < /etc/meshsan/admin-password';
    await until('a login', async () => (await this.first.try('sh', '-c', login)).code === 0);
    await this.scli('--add_protection_domain', '--protection_domain_name', 'pd1');
    await this.scli('--add_storage_pool', ...POOL, '--media_type', 'SSD', '--enable_zero_padding');
    for (const { name, storage } of SPECS)
      await this.scli(
        ...['--add_sds', '--sds_name', name, '--sds_ip', storage, '--device_path', '/dev/vdb'],
        ...POOL,
      );
    const [, second, third] = SPECS;
    if (second === undefined || third === undefined) throw new Error('three nodes');
    for (const [spec, role] of [
      [second, 'manager'],
      [third, 'tb'],
    ] as const)
      await this.scli(
        ...['--add_standby_mdm', '--new_mdm_ip', spec.management, '--mdm_role', role],
        ...['--new_mdm_name', spec.name],
      );
    await this.scli(
      ...['--switch_cluster_mode', '--cluster_mode', '3_node', '--add_slave_mdm_name', second.name],
      ...['--add_tb_name', third.name, '--i_am_sure'],
    );
    const volume = ['--volume_name', 'v1'];
    await this.scli('--add_volume', ...POOL, ...volume, '--size_gb', '8', '--thin_provisioned');
    await this.scli('--map_volume_to_sdc', ...volume, '--sdc_guid', this.#guid);
    await until('the volume is a block device', async () => {
      return (await this.first.try('test', '-b', '/dev/scinia')).code === 0;
    });
  }

  async startLoad(): Promise<void> {
    const device = (await this.first.run('readlink', '-f', '/dev/scinia')).trim();
    await this.first.run('systemd-run', '--unit=fio-load', '--collect', ...LOAD(device));
    await this.loadRuns();
  }

  async loadRuns(): Promise<void> {
    const { stdout } = await this.first.try('systemctl', 'is-active', 'fio-load');
    const words = await this.first.try('journalctl', '-u', 'fio-load', '-o', 'cat', '-n', '20');
    assert.equal(stdout.trim(), 'active', `fio ended: ${words.stdout}`);
  }

  /** Ends the load. @returns requests, and the longest time that one took, in seconds */
  async stopLoad(): Promise<{ readonly requests: number; readonly longestS: number }> {
    await this.loadRuns();
    await this.first.run('systemctl', 'kill', '-s', 'INT', 'fio-load');
    await until('fio ends', async () => {
      const { stdout } = await this.first.try('systemctl', 'is-active', 'fio-load');
      return stdout.trim() !== 'active';
    });
    const text = await this.first.run('cat', '/root/fio.json');
    const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as {
      readonly jobs: readonly { error: number; read: FioSide; write: FioSide }[];
    };
    const [job] = jobs;
    assert.ok(job?.error === 0, text);
    const longest = Math.max(job.read.clat_ns?.max ?? 0, job.write.clat_ns?.max ?? 0);
    return {
      requests: job.read.total_ios + job.write.total_ios,
      longestS: Math.round(longest / 1e8) / 10,
    };
  }

  async versions(): Promise<readonly string[]> {
    const found = new Set<string>();
    for (const machine of this.lab.machines) {
      const format = '${Version}\\n';
      const text = await machine.run('dpkg-query', '-W', '-f', format, 'meshsan-*');
      for (const line of text.split('\n').filter((row) => row !== '')) found.add(line);
    }
    return [...found];
  }
}

interface Told {
  readonly clusterVersion: number;
  readonly nodes: readonly { readonly name: string; readonly seconds: number }[];
}

/**
 * Upgrades, goes back, upgrades again, all under load.
 *
 * @param own - folder of this version's packages
 */
export async function upgradeStory(own: string, say: Say): Promise<readonly string[]> {
  const fault = await releasedFault();
  if (fault !== null) throw new Error(fault);
  const old = await releasedPackages();
  const nodes = new Nodes(say);
  const stop = (): void => {
    void nodes.lab.remove().finally(() => process.exit(1));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const notes: string[] = [];
  try {
    await nodes.boot(old);
    await nodes.cluster();
    say('      the cluster of the release is up');
    const access = SPECS.flatMap(({ management }) => ['--host', management]);
    access.push('--secrets', nodes.secrets());
    const bring = (packages: string, ...flags: readonly string[]) =>
      nodes.lab.outside(
        [
          process.execPath,
          DEPLOYER,
          'upgrade',
          '--packages',
          packages,
          '--json',
          ...access,
          ...flags,
        ],
        (line) => {
          say(`      ${line}`);
        },
      );
    for (const [what, packages, version, flags] of [
      [`${RELEASED.version} to ${VERSION}`, own, VERSION, []],
      [`${VERSION} to ${RELEASED.version}`, old, RELEASED.version, []],
      [`${RELEASED.version} to ${VERSION}, finished`, own, VERSION, ['--finish']],
    ] as const) {
      await nodes.startLoad();
      const began = Date.now();
      const { code, stdout, stderr } = await bring(packages, ...flags);
      assert.equal(code, 0, stderr);
      const { requests, longestS } = await nodes.stopLoad();
      assert.deepEqual(await nodes.versions(), [version]);
      const told = JSON.parse(stdout) as Told;
      assert.equal(told.nodes.length, SPECS.length);
      assert.equal(told.clusterVersion, flags.length > 0 ? 2 : 1);
      const seconds = Math.round((Date.now() - began) / 1000);
      const each = told.nodes.map((node) => `${node.name} ${node.seconds} s`).join(', ');
      const note = `${what}: ${seconds} s (${each}); ${requests} requests, no error, longest ${longestS} s`;
      say(`      ${note}`);
      notes.push(note);
    }
    const again = await bring(own);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /"changed":0/);
    const back = await bring(old);
    assert.equal(back.code, 3, back.stderr);
    assert.match(back.stderr, /the cluster was raised to version 2, 0\.1\.0 speaks up to 1/);
    return notes;
  } finally {
    await nodes.lab.remove();
  }
}
