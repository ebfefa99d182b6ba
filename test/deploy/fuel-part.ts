// The part of the deployment test that plays Fuel: the emitted plugin's tasks on facts files, in all three shapes; then what a
// cluster goes through: killed services, a rebooted node, a dead gateway, nodes that come and go, data that must stay.

import { readFileSync } from 'node:fs';
import { until } from '../support/until.js';
import { AGENT_UNIT, checkAgents, checkMissed, verify } from './agents.js';
import { checkOpenstack, checkSecrets, checkServices } from './fuel-checks.js';
import { DISK, MANAGEMENT_VIP, facts, nameOf } from './environment.js';
import { bootWithServices } from './lab-setup.js';
import {
  checkMembers,
  checkOwnEtcd,
  killMasterMachine,
  killMasterProcess,
  layOwnEtcd,
} from './managers-checks.js';
import type { Lab } from './machines.js';
import {
  DATA_BYTES,
  allJoined,
  checkLife,
  device,
  digest,
  mainPid,
  sdsStates,
} from './node-checks.js';
import { Fuel } from './plugin.js';
import type { FuelRun } from './plugin.js';
import { expect } from './report.js';
import type { Report } from './report.js';
import { Rest } from './rest.js';

const FOUR = [1, 2, 3, 4];
const FIVE = [1, 2, 3, 4, 5];
const VOLUME_GIB = 8;
const TOKEN_REQUESTS = 20;
/** As libvirt does for QEMU: its user's, who has it open. */
const USED_BY_ANOTHER = `set -e; chown nobody "$0"; chmod 0600 "$0"
setpriv --reuid nobody --regid nogroup --clear-groups sleep 600 <"$0" >/dev/null 2>&1 & echo $! >/run/used-by-another`;
/** Asks the client of the node something, as its connectors do. */
const ASK_CLIENT = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect('/run/meshsan-sdc/control.sock')
s.sendall(sys.argv[1].encode() + b'\\n')
print(s.makefile().readline())`;

export function mustPass(run: FuelRun): FuelRun {
  const { failed } = run;
  if (failed !== null)
    throw new Error(`${failed.node} ${failed.task} ended with ${failed.code}:\n${failed.output}`);
  return run;
}

export class FuelPart {
  readonly #lab: Lab;
  readonly #report: Report;
  readonly #fuel: Fuel;
  readonly #rest: Rest;
  #volumeId = '';
  #digest = '';

  constructor(lab: Lab, plugins: string, report: Report) {
    this.#lab = lab;
    this.#report = report;
    this.#fuel = new Fuel(lab, plugins);
    this.#rest = new Rest(lab);
  }

  async run(): Promise<void> {
    await this.#deploys();
    await this.#lives();
    await this.#data();
    await this.#losesMasters();
    await this.#grows();
    await this.#shrinks();
    await this.#replacesController();
  }

  async #deploys(): Promise<void> {
    const { check } = bound(this.#report);
    const lab = this.#lab;
    for (const version of ['9.0', '6.1']) {
      await this.#fuel.index(version);
      await Promise.all(
        lab.machines.slice(0, 4).map((machine) => this.#fuel.install(machine, version)),
      );
    }
    await check('fewer than three controllers are refused with the reason', async () => {
      const run = await this.#fuel.deploy('9.0', '10.0', facts([1, 2, 4]));
      expect(run.failed?.code === 2, `exit ${String(run.failed?.code)}`);
      expect(run.failed.output.includes('at least 3 controllers are needed'), run.failed.output);
      return run.failed.task;
    });
    const operators = lab.machine('node-2');
    const etcd = await layOwnEtcd(operators);
    await check(
      'the plugin for 9.0 deploys from facts of 10.0, in the order of its graph',
      async () => {
        const run = mustPass(await this.#fuel.deploy('9.0', '10.0', facts(FOUR)));
        return `${run.outcomes.length} tasks, ${run.changed} changed`;
      },
    );
    await check('the second run changes nothing', async () => {
      const run = mustPass(await this.#fuel.deploy('9.0', '10.0', facts(FOUR)));
      expect(run.changed === 0, changes(run));
      return '0 changed';
    });
    await check('nor does the plugin for 6.1 with flat facts, by its stages', async () => {
      const run = mustPass(await this.#fuel.deploy('6.1', '6.1', facts(FOUR)));
      expect(run.changed === 0, changes(run));
      return '0 changed';
    });
    await check('the MDM cluster: two managers and a tie-breaker, known to everybody', () =>
      checkMembers(lab, ['node-1', 'node-2'], ['node-3']),
    );
    await check("an operator's own etcd was left alone, and no other was started", () =>
      checkOwnEtcd(lab, operators, etcd, ['node-1', 'node-3']),
    );
    await check('services run with the addresses of the facts', () => checkServices(lab));
    await check('secrets', () => checkSecrets(lab));
    await check('every agent runs, answers who knows its key, and is confined', () =>
      checkAgents(lab, FOUR.map(nameOf)),
    );
    await check("Cinder's back-ends are extended", () => checkOpenstack(lab));
  }

  async #lives(): Promise<void> {
    const { check } = bound(this.#report);
    const lab = this.#lab;
    const password = readFileSync(
      lab.machine('node-1').path('/etc/meshsan/admin-password'),
      'utf8',
    );
    await check('the gateways answer through the virtual address', async () => {
      await this.#rest.login(password.trim());
      return (await this.#rest.names('Sds')).join(', ');
    });
    await check('a token keeps working while one gateway after the other is down', async () => {
      for (const uid of [1, 2, 3]) {
        const machine = lab.machine(nameOf(uid));
        await machine.run('kill', '-9', await mainPid(machine, 'meshsan-gateway'));
        await machine.run('systemctl', 'stop', 'meshsan-gateway');
        for (let i = 0; i < TOKEN_REQUESTS; i++) {
          const { code, body } = await this.#rest.request('GET', '/api/types/Sds/instances');
          expect(code === 200, `request ${i} without ${machine.name}: ${code} ${body}`);
        }
        await machine.run('systemctl', 'start', 'meshsan-gateway');
        await until(`the gateway of ${machine.name}`, async () => {
          const rest = new Rest(lab, machine.spec.management);
          return (await rest.request('GET', '/api/version')).code === 200;
        });
      }
      return `${3 * TOKEN_REQUESTS} requests at ${MANAGEMENT_VIP}`;
    });
    await check('services come back after kill -9, stop and start', () =>
      checkLife(lab.machine('node-4'), ['meshsan-sds', 'meshsan-sdc', AGENT_UNIT]),
    );
    await check('so does the MDM, and the gateway', () =>
      checkLife(lab.machine('node-1'), ['meshsan-mdm', 'meshsan-gateway']),
    );
    await check('all servers are back', async () => {
      await until('four servers', () => allJoined(lab, 4));
      return undefined;
    });
    await check("the deployment's own check misses an agent", () =>
      checkMissed(lab.machine('node-1'), lab.machine('node-2')),
    );
  }

  async #data(): Promise<void> {
    const { check } = bound(this.#report);
    const compute = this.#lab.machine('node-4');
    await check('a volume is a block device of the compute node', async () => {
      this.#volumeId = await this.#rest.createVolume('data', VOLUME_GIB);
      await compute.makeLoopNodes();
      await this.#rest.mapVolume(this.#volumeId, 'node-4');
      await until('the device', async () => {
        const link = await compute.try(
          'sh',
          '-c',
          `ls /dev/disk/by-id/emc-vol-*-${this.#volumeId}`,
        );
        return link.code === 0;
      });
      const path = await device(compute, this.#volumeId);
      const write = `dd if=/dev/urandom of=${path} bs=1M count=${DATA_BYTES / 2 ** 20} oflag=direct conv=fsync status=none`;
      await compute.run('sh', '-c', write);
      this.#digest = await digest(compute, path);
      return path;
    });
    await check("a device that is another user's and in use is not taken away", async () => {
      const path = await device(compute, this.#volumeId);
      const { code, stdout, stderr } = await compute.try('sh', '-c', USED_BY_ANOTHER, path);
      expect(code === 0, stdout + stderr);
      const request = JSON.stringify({ op: 'detach', volume: this.#volumeId, force: false });
      const asked = await compute.run('/usr/bin/python3', '-c', ASK_CLIENT, request);
      await compute.run('sh', '-c', 'kill $(cat /run/used-by-another)');
      expect(asked.includes('is in use'), asked);
      return asked.trim();
    });
    await check('a controller is restarted: its services and its data come back', async () => {
      await this.#lab.machine('node-3').reboot();
      await until('four servers', () => allJoined(this.#lab, 4));
      const found = await digest(compute, await device(compute, this.#volumeId));
      expect(found === this.#digest, 'the data is not what was written');
      // Its device is looked through before it is up; meanwhile the other copies serve.
      let said = '';
      await until("the deployment's own check passes", async () => {
        const { code, stdout, stderr } = await verify(this.#lab.machine('node-1'));
        said = `${stdout}\n${stderr}`;
        return code === 0;
      });
      return said.split('\n').find((line) => line.includes('agents'));
    });
  }

  async #losesMasters(): Promise<void> {
    const { check } = bound(this.#report);
    const lab = this.#lab;
    const path = lab.machine('node-1').path('/etc/meshsan/admin-password');
    const password = readFileSync(path, 'utf8').trim();
    const killing = { lab, members: ['node-1', 'node-2'], password };
    await check("the master's process is killed: the API answers again", () =>
      killMasterProcess(killing),
    );
    await check("the master's machine loses its power: the API answers again", () =>
      killMasterMachine(killing),
    );
    await check('all servers are back, and the data is there', async () => {
      await until('four servers', () => allJoined(lab, 4));
      const compute = lab.machine('node-4');
      const found = await digest(compute, await device(compute, this.#volumeId));
      expect(found === this.#digest, 'the data is not what was written');
      return undefined;
    });
  }

  async #grows(): Promise<void> {
    const { check } = bound(this.#report);
    const added = this.#lab.machine('node-5');
    await check('a device that carries a file system is refused, and not touched', async () => {
      await bootWithServices(added);
      for (const version of ['9.0', '6.1']) await this.#fuel.install(added, version);
      await added.run('mkfs.ext4', '-q', '-F', DISK);
      const run = await this.#fuel.deploy('9.0', '8.0', facts(FIVE));
      expect(run.failed?.node === 'node-5' && run.failed.code === 3, failure(run));
      expect(
        run.failed.output.includes('carries an ext4 file system; nothing is erased unasked'),
        failure(run),
      );
      await added.run('e2fsck', '-fn', DISK);
      return undefined;
    });
    await check('a mounted one is refused although it is named to be erased', async () => {
      const named = { takeover_devices: `node-5: ${DISK}` };
      await added.run('mount', DISK, '/mnt');
      const run = await this.#fuel.deploy('9.0', '8.0', facts(FIVE, named));
      await added.run('umount', '/mnt');
      expect(
        run.failed?.node === 'node-5' && run.failed.output.includes('is in use: it is mounted on'),
        failure(run),
      );
      await added.run('e2fsck', '-fn', DISK);
      return undefined;
    });
    await check(
      'named to be erased, the node joins; the others change nothing but their record',
      async () => {
        const named = { takeover_devices: `node-5: ${DISK}` };
        const run = mustPass(await this.#fuel.deploy('9.0', '8.0', facts(FIVE, named)));
        const elsewhere = run.outcomes.filter(
          ({ node, output }) =>
            node !== 'node-5' && !output.endsWith(': 0 changed') && output !== '',
        );
        expect(
          elsewhere.every(({ task }) => ['meshsan-cluster', 'meshsan-gateway'].includes(task)),
          elsewhere.map(({ task, node, output }) => `${node} ${task}: ${output}`).join('\n'),
        );
        expect(await allJoined(this.#lab, 5), await sdsStates(this.#lab));
        return `${run.changed} changed`;
      },
    );
    await check('once more: nothing, and nothing is erased again', async () => {
      const run = mustPass(await this.#fuel.deploy('9.0', '8.0', facts(FIVE)));
      expect(run.changed === 0, changes(run));
      return '0 changed';
    });
  }

  async #shrinks(): Promise<void> {
    const { check } = bound(this.#report);
    const lab = this.#lab;
    const first = lab.machine('node-1');
    const left = [1, 2, 3, 5];
    await check('the operator is told that a node with copies may not leave', async () => {
      const asked = await first.try(
        ...['meshsan-deploy', 'may-remove', 'node-4', '--facts', '/etc/astute.yaml'],
      );
      expect(
        asked.code === 3 && asked.stdout.includes('moves them elsewhere'),
        asked.stdout + asked.stderr,
      );
      return asked.stdout.split('\n')[0];
    });
    await check(
      'a run without that node has its data moved elsewhere, then its server leaves',
      async () => {
        mustPass(await this.#fuel.deploy('9.0', '10.0', facts(left)));
        await until('the server leaves', async () => allJoined(lab, 4));
        return 'four servers';
      },
    );
    await check('the node is wiped as Fuel does: the data survives', async () => {
      await this.#rest.unmapVolume(this.#volumeId);
      await lab.machine('node-4').kill();
      mustPass(await this.#fuel.deploy('9.0', '10.0', facts(left)));
      expect(await allJoined(lab, 4), await sdsStates(lab));
      await lab.machine('node-5').makeLoopNodes();
      await this.#rest.mapVolume(this.#volumeId, 'node-5');
      const compute = lab.machine('node-5');
      await until('the device', async () => {
        const link = await compute.try(
          'sh',
          '-c',
          `ls /dev/disk/by-id/emc-vol-*-${this.#volumeId}`,
        );
        return link.code === 0;
      });
      const found = await digest(compute, await device(compute, this.#volumeId));
      expect(found === this.#digest, 'the data is not what was written');
      return (await this.#rest.names('Sds')).join(', ');
    });
    await check('once more: nothing', async () => {
      const run = mustPass(await this.#fuel.deploy('9.0', '10.0', facts(left)));
      expect(run.changed === 0, changes(run));
      return '0 changed';
    });
  }

  async #replacesController(): Promise<void> {
    const { check } = bound(this.#report);
    const lab = this.#lab;
    const made = facts([1, 2, 5], {}, REPLACED);
    await check('a controller is replaced: another one takes part instead', async () => {
      const run = mustPass(await this.#fuel.deploy('9.0', '10.0', made));
      expect(run.changed > 0, 'nothing was changed');
      await until('three servers', () => allJoined(lab, 3));
      return checkMembers(lab, ['node-1', 'node-2'], ['node-5']);
    });
    await check('once more: nothing, and the data is there', async () => {
      const run = mustPass(await this.#fuel.deploy('9.0', '10.0', made));
      expect(run.changed === 0, changes(run));
      const compute = lab.machine('node-5');
      const found = await digest(compute, await device(compute, this.#volumeId));
      expect(found === this.#digest, 'the data is not what was written');
      return '0 changed';
    });
  }
}

/** A controller leaves, and a node that was a compute node only becomes one. */
const REPLACED = new Map([[5, ['controller', 'compute']]]);

function bound(report: Report): { check: Report['check'] } {
  return { check: (name, work) => report.check(name, work) };
}

export const changes = (run: FuelRun): string =>
  run.outcomes
    .filter(({ output }) => /: [1-9]\d* changed$/.test(output))
    .map(({ node, task, output }) => `${node} ${task}:\n${output}`)
    .join('\n');

const failure = ({ failed }: FuelRun): string =>
  failed === null
    ? 'nothing failed'
    : `${failed.node} ${failed.task} ${failed.code}: ${failed.output}`;
