// The part of the deployment test with two environments: a node of another one uses the cluster that the first one runs, by
// the settings for an existing cluster. Only its client, Cinder and Nova are configured; the cluster is as it was.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Output } from '../support/nspawn.js';
import { until } from '../support/until.js';
import { checkAgents, checkForeign } from './agents.js';
import { MACHINES, existingInventory, nameOf } from './environment.js';
import { DEPLOYER, bootWithServices } from './lab-setup.js';
import type { Lab, Machine } from './machines.js';
import { expect } from './report.js';
import type { Report } from './report.js';
import { Rest } from './rest.js';

const USER = 5;
const VOLUME_GIB = 8;
const BYTES = 1024 * 1024;

export class ExistingPart {
  readonly #lab: Lab;
  readonly #report: Report;
  readonly #packages: string;
  readonly #machine: Machine;
  readonly #path: string;

  constructor(lab: Lab, packages: string, report: Report) {
    this.#lab = lab;
    this.#report = report;
    this.#packages = packages;
    this.#machine = lab.machine(nameOf(USER));
    this.#path = join(lab.dir, 'existing', 'inventory.yaml');
  }

  /** A file of the first environment's. */
  #of(name: string): string {
    const [first] = this.#lab.machines;
    return first === undefined ? '' : readFileSync(first.path(`/etc/meshsan/${name}`), 'utf8');
  }

  #apply(): Promise<Output> {
    return this.#lab.outside([process.execPath, DEPLOYER, 'apply', '--inventory', this.#path]);
  }

  async run(): Promise<void> {
    const check: Report['check'] = (name, work) => this.#report.check(name, work);
    const rest = new Rest(this.#lab);
    await check('a node of another environment uses the cluster that is there', async () => {
      await bootWithServices(this.#machine);
      mkdirSync(join(this.#lab.dir, 'existing'), { mode: 0o700 });
      const cluster = {
        // Either may be the master.
        managers: MACHINES.slice(0, 2).map(({ management }) => management),
        secret: this.#of('secret').trim(),
        password: this.#of('admin-password').trim(),
        authority: this.#of('ca.pem'),
      };
      const parts = { keyFile: this.#lab.keyFile, packages: this.#packages };
      writeFileSync(this.#path, existingInventory(USER, cluster, parts), { mode: 0o600 });
      await rest.login(cluster.password);
      const servers = await rest.names('Sds');
      const { code, stdout, stderr } = await this.#apply();
      expect(code === 0, stderr);
      expect((await rest.names('Sdc')).includes(this.#machine.name), 'its client is not known');
      expect((await rest.names('Sds')).join() === servers.join(), 'the servers are others now');
      const own = await this.#machine.try('sh', '-c', 'ls /usr/lib/meshsan/backend/bin');
      expect(!/^(mdm|sds|gateway)\.js$/m.test(own.stdout), own.stdout);
      return stdout;
    });
    await check("its bridge reaches the cluster's gateways", () =>
      this.#machine.run('cinder-bridge', 'health'),
    );
    await check("its agent runs, and does not know the other environment's key", async () => {
      await checkForeign(this.#lab.machine(nameOf(1)), this.#machine);
      return checkAgents(this.#lab, [this.#machine.name]);
    });
    await check('its client has volumes', async () => {
      const id = await rest.createVolume('elsewhere', VOLUME_GIB);
      await this.#machine.makeLoopNodes();
      await rest.mapVolume(id, this.#machine.name);
      const name = `/dev/disk/by-id/emc-vol-*-${id}`;
      await until('the device', async () => {
        const { code } = await this.#machine.try('sh', '-c', `ls ${name}`);
        return code === 0;
      });
      const script = `set -e; device=$(readlink -f ${name}); head -c ${BYTES} /dev/urandom >/tmp/written
        dd if=/tmp/written of=$device bs=64k oflag=direct conv=fsync status=none
        dd if=$device bs=64k count=${BYTES / 65536} iflag=direct status=none | cmp - /tmp/written; echo $device`;
      return this.#machine.run('sh', '-c', script);
    });
    await check('the second run changes nothing', async () => {
      const { code, stdout, stderr } = await this.#apply();
      expect(code === 0 && stdout === '0 changed', `${stdout}\n${stderr}`);
      return stdout;
    });
  }
}
