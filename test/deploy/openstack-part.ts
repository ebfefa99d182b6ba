// The part of the deployment test with a real OpenStack: one machine runs Debian's, under Debian's units, on files in /etc
// that the services read; it is the compute and the Cinder node of the deployment. The plugin's tasks are what changes its
// cinder.conf and nova.conf; then `openstack volume create` without a type makes volumes on what they deployed.

import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { iniValue } from '../../backend/deploy/plan/ini.js';
import { installPackages } from '../openstack/packages.js';
import { Progress } from '../openstack/progress.js';
import { createState, describeState } from '../openstack/state.js';
import { until } from '../support/until.js';
import { OLD_BACKEND, KILLED, STREAMS, describeNode } from './cloud/node-state.js';
import { CLOUD_NODE, MANAGEMENT_VIP, PORT, PUBLIC_VIP, cloudFacts, nameOf } from './environment.js';
import { layFuelHaproxy, listeners } from './fuel-haproxy.js';
import { changes, mustPass } from './fuel-part.js';
import { ROOT } from './lab-setup.js';
import type { Lab, Machine } from './machines.js';
import { Fuel } from './plugin.js';
import { expect } from './report.js';
import type { Report } from './report.js';
import { Rest } from './rest.js';

const PLUGIN = '9.0';
const SHAPE = '10.0';
const INSIDE = join(ROOT, 'dist', 'test', 'deploy', 'cloud', 'inside.js');
const CINDER = '/etc/cinder/cinder.conf';
const NOVA = '/etc/nova/nova.conf';
/** Services whose processes must be new ones after the deployment, and the same after the next. */
const READERS = ['cinder-api', 'cinder-volume', 'nova-compute'];
const SECTIONS_OF_OURS = ['meshsan', 'powerflex'];

/** OpenStack's packages on this host, of which the machines see an overlay; no service of theirs is started here. */
export async function installOpenstack(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'meshsan-openstack-'));
  chmodSync(dir, 0o711);
  const state = describeState(join(dir, 'state'), 'full');
  createState(state);
  // After a failure it stays: apt's log is in it.
  await installPackages(state, new Progress(process.stdout));
  rmSync(dir, { recursive: true });
}

/** Lines of a configuration file that were taken away. */
function lost(before: string, after: string): string[] {
  const kept = new Set(after.split('\n'));
  return before.split('\n').filter((line) => !kept.has(line));
}

export class OpenstackPart {
  readonly #lab: Lab;
  readonly #report: Report;
  readonly #fuel: Fuel;
  readonly #machine: Machine;

  constructor(lab: Lab, plugins: string, report: Report) {
    this.#lab = lab;
    this.#report = report;
    this.#fuel = new Fuel(lab, plugins);
    this.#machine = lab.machine(CLOUD_NODE);
  }

  /** Runs the program inside, and shows its lines. */
  async #inside(verb: string, watch: (line: string) => void = () => undefined): Promise<undefined> {
    const argv = [process.execPath, INSIDE, verb, this.#machine.spec.management];
    await this.#machine.follow(argv, (line) => {
      this.#report.say(`      ${line}`);
      watch(line);
    });
    return undefined;
  }

  #text(path: string): string {
    return readFileSync(this.#machine.path(path), 'utf8');
  }

  async #processes(): Promise<string[]> {
    const out: string[] = [];
    for (const unit of READERS)
      out.push(await this.#machine.run('systemctl', 'show', '-p', 'MainPID', '--value', unit));
    return out;
  }

  async run(): Promise<void> {
    const check: Report['check'] = (name, work) => this.#report.check(name, work);
    await check("Debian's OpenStack runs under Debian's units", () => this.#inside('up'));
    await check('before: volumes without a type go to its own back-end', () =>
      this.#inside('before'),
    );
    await this.#deploys(check);
    await check('after: they go to the deployed cluster, and an instance uses them', async () => {
      await this.#machine.makeLoopNodes();
      const kills: Promise<string | null>[] = [];
      await this.#inside('after', (line) => {
        if (line.includes(STREAMS)) kills.push(this.#killServer());
      });
      const failed = (await Promise.all(kills)).find((reason) => reason !== null);
      expect(failed === undefined, failed ?? '');
      return undefined;
    });
    await check('once more: nothing is changed, nothing restarted', async () => {
      const before = await this.#processes();
      const run = mustPass(await this.#fuel.deploy(PLUGIN, SHAPE, cloudFacts()));
      expect(run.changed === 0, changes(run));
      const now = await this.#processes();
      expect(now.join() === before.join(), `${before.join()} became ${now.join()}`);
      return '0 changed';
    });
  }

  async #deploys(check: Report['check']): Promise<void> {
    await this.#fuel.index(PLUGIN);
    for (const machine of this.#lab.machines.slice(0, 4)) await this.#fuel.install(machine, PLUGIN);
    const first = this.#lab.machine(nameOf(1));
    await layFuelHaproxy(this.#lab, first);
    // Fuel leaves it on every controller.
    const credentials = describeNode(this.#machine.spec.management).openrc;
    copyFileSync(this.#machine.path(credentials), first.path(credentials));
    const was = { cinder: this.#text(CINDER), nova: this.#text(NOVA) };
    const processes = await this.#processes();
    await check("the plugin's tasks deploy beside it", async () => {
      const run = mustPass(await this.#fuel.deploy(PLUGIN, SHAPE, cloudFacts()));
      return `${run.outcomes.length} tasks, ${run.changed} changed`;
    });
    await check("HAProxy in Fuel's namespace serves the gateways", async () => {
      const listening = await listeners(first);
      for (const vip of [MANAGEMENT_VIP, PUBLIC_VIP])
        expect(listening.includes(`${vip}:${PORT} `), listening);
      const { code } = await new Rest(this.#lab).request('GET', '/api/version');
      expect(code === 200, `GET /api/version at ${MANAGEMENT_VIP}: ${code}`);
      return `${MANAGEMENT_VIP}:${PORT}, ${PUBLIC_VIP}:${PORT}`;
    });
    await check('cinder.conf and nova.conf are extended, their services restarted', async () => {
      const cinder = this.#text(CINDER);
      expect(
        lost(was.cinder, cinder).join() ===
          [`enabled_backends = ${OLD_BACKEND}`, `default_volume_type = ${OLD_BACKEND}`].join(),
        `lines that are gone: ${lost(was.cinder, cinder).join('\n')}`,
      );
      const backends = iniValue(cinder, 'DEFAULT', 'enabled_backends');
      expect(
        backends === [OLD_BACKEND, ...SECTIONS_OF_OURS].join(','),
        `enabled_backends = ${backends ?? ''}`,
      );
      expect(iniValue(cinder, 'DEFAULT', 'default_volume_type') === 'meshsan', cinder);
      expect(lost(was.nova, this.#text(NOVA)).length === 0, 'nova.conf lost lines');
      const now = await this.#processes();
      expect(
        now.every((pid, index) => pid !== '0' && pid !== processes[index]),
        `${READERS.join()}: ${processes.join()} became ${now.join()}`,
      );
      return `enabled_backends = ${backends}`;
    });
  }

  /**
   * Ends the storage server of another node with all its processes; systemd starts it again.
   * @returns why it could not, or null
   */
  async #killServer(): Promise<string | null> {
    const { root } = describeNode(this.#machine.spec.management);
    const server = this.#lab.machine(nameOf(2));
    const main = ['systemctl', 'show', '-p', 'MainPID', '--value', 'meshsan-sds'] as const;
    try {
      const before = await server.run(...main);
      // Its processes end each other: systemctl may not find the last of them any more.
      await server.try('systemctl', 'kill', '-s', 'KILL', 'meshsan-sds');
      await until('another storage server', async () => {
        const now = await server.run(...main);
        return now !== '0' && now !== before;
      });
    } catch (error) {
      return (error as Error).message;
    }
    // The program inside waits for it.
    writeFileSync(this.#machine.path(join(root, KILLED)), '');
    return null;
  }
}
