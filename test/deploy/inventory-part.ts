// The part of the deployment test without Fuel: the deployer of this repository reaches the machines over SSH. A wrong key, a
// node that vanishes in the middle, and a second run.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Output } from '../support/nspawn.js';
import { checkAgents } from './agents.js';
import { inventory, nameOf } from './environment.js';
import type { InventoryParts } from './environment.js';
import { ExistingPart } from './existing-part.js';
import { DEPLOYER } from './lab-setup.js';
import type { Lab } from './machines.js';
import { expect } from './report.js';
import type { Report } from './report.js';

const FOUR = [1, 2, 3, 4];

export class InventoryPart {
  readonly #lab: Lab;
  readonly #report: Report;
  readonly #packages: string;
  readonly #path: string;

  constructor(lab: Lab, packages: string, report: Report) {
    this.#lab = lab;
    this.#report = report;
    this.#packages = packages;
    this.#path = join(lab.dir, 'inventory.yaml');
  }

  #write(parts: Partial<InventoryParts> = {}): void {
    const text = inventory(FOUR, {
      keyFile: this.#lab.keyFile,
      packages: this.#packages,
      ...parts,
    });
    writeFileSync(this.#path, text);
  }

  /** @param watch - sees each line of progress */
  async #apply(
    flags: readonly string[] = [],
    watch: (line: string) => void = () => undefined,
  ): Promise<Output> {
    const args = [DEPLOYER, 'apply', '--inventory', this.#path, ...flags];
    return this.#lab.outside([process.execPath, ...args], watch);
  }

  async run(): Promise<void> {
    const check: Report['check'] = (name, work) => this.#report.check(name, work);
    await check('a wrong SSH key: said, and nothing was changed', async () => {
      const wrong = join(this.#lab.dir, 'wrong-key');
      await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', wrong]);
      this.#write({ keys: new Map([[3, wrong]]) });
      const { code, stderr } = await this.#apply();
      expect(code === 4, `exit ${code}: ${stderr}`);
      expect(/stopped at node node-3, connection: .*authentication/.test(stderr), stderr);
      for (const machine of this.#lab.machines.slice(0, 4)) {
        const there = await machine.try('test', '-e', '/etc/meshsan');
        expect(there.code !== 0, `${machine.name} was touched`);
      }
      return stderr.split('\n').find((line) => line.includes('stopped'));
    });
    await check('a dry run shows what would be done, and changes nothing', async () => {
      this.#write();
      const { code, stdout, stderr } = await this.#apply(['--dry-run']);
      expect(code === 0, stderr);
      expect(stderr.includes('SDS node-4 joins default with'), stderr);
      const there = await this.#lab.machine('node-1').try('test', '-e', '/etc/meshsan');
      expect(there.code !== 0, 'node-1 was touched');
      return stdout;
    });
    await check('a node vanishes in the middle: the run stops and says where', async () => {
      const cuts: Promise<void>[] = [];
      const { code, stderr } = await this.#apply([], (line) => {
        if (line.startsWith('node-2 lia:') && cuts.length === 0)
          cuts.push(this.#lab.cut('node-2', true));
      });
      await Promise.all(cuts);
      expect(cuts.length === 1 && code === 4, `exit ${code}: ${stderr}`);
      const words = stderr.split('\n').find((line) => line.includes('stopped at node node-2'));
      expect(words !== undefined, stderr);
      return words;
    });
    await check('it is back: the next run goes on', async () => {
      await this.#lab.cut('node-2', false);
      const { code, stdout, stderr } = await this.#apply();
      expect(code === 0, stderr);
      return stdout;
    });
    await check('the second run changes nothing', async () => {
      const { code, stdout, stderr } = await this.#apply();
      expect(code === 0 && stdout === '0 changed', `${stdout}\n${stderr}`);
      return stdout;
    });
    await check('every agent runs, answers who knows its key, and is confined', () =>
      checkAgents(this.#lab, FOUR.map(nameOf)),
    );
    await check('a changed setting changes the pool, once', async () => {
      this.#write({ settings: { spare_percent: '20' } });
      const changed = await this.#apply();
      expect(changed.code === 0, changed.stderr);
      expect(changed.stderr.includes('sparePercent 10 becomes 20'), changed.stderr);
      const again = await this.#apply();
      expect(again.stdout === '0 changed', again.stderr);
      return changed.stdout;
    });
    await new ExistingPart(this.#lab, this.#packages, this.#report).run();
  }
}
