// `npm run deploy-test`: deploys MeshSAN on machines and proves what came of it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError, runTool } from '../../backend/runtime/flags.js';
import { FuelPart } from './fuel-part.js';
import { InventoryPart } from './inventory-part.js';
import { OpenstackPart, installOpenstack } from './openstack-part.js';
import { build, installPrograms, startLab } from './lab-setup.js';
import type { Lab } from './machines.js';
import { HELP, readOptions } from './options.js';
import type { Options, Part } from './options.js';
import { CheckFailed, Report } from './report.js';

const MACHINES_FIRST = 4;
let current: Lab | null = null;

async function part(name: Part, options: Options, folders: Folders, report: Report): Promise<void> {
  report.say(`-- ${name}`);
  const say = (text: string): void => {
    report.say(text);
  };
  if (name === 'openstack') await installOpenstack();
  const lab = await startLab(MACHINES_FIRST, name !== 'openstack', say);
  current = lab;
  try {
    switch (name) {
      case 'fuel':
        await new FuelPart(lab, folders.plugins, report).run();
        break;
      case 'inventory':
        await new InventoryPart(lab, folders.packages, report).run();
        break;
      case 'openstack':
        await new OpenstackPart(lab, folders.plugins, report).run();
    }
  } catch (error) {
    if (!(error instanceof CheckFailed)) throw error;
  }
  if (options.keep) {
    report.say(`the machines are below ${lab.dir}; Ctrl-C takes them away`);
    await new Promise<void>((done) => process.once('SIGUSR2', done));
  }
  current = null;
  await lab.remove();
}

interface Folders {
  readonly packages: string;
  readonly plugins: string;
}

async function run(options: Options): Promise<boolean> {
  const report = new Report();
  const say = (text: string): void => {
    report.say(text);
  };
  await installPrograms(say);
  const plugins = mkdtempSync(join(tmpdir(), 'meshsan-plugins-'));
  try {
    const given = options.packages === null ? null : resolve(options.packages);
    const packages = await build(given, plugins, say);
    for (const name of options.parts) await part(name, options, { packages, plugins }, report);
  } finally {
    rmSync(plugins, { recursive: true, force: true });
  }
  return report.finish();
}

function stop(): void {
  const lab = current;
  void (lab === null ? Promise.resolve() : lab.remove()).finally(() => process.exit(1));
}

await runTool(HELP, async (args) => {
  const options = readOptions(args);
  if (process.getuid?.() !== 0) throw new UsageError('machines can be booted by root only');
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  return (await run(options)) ? 0 : 1;
});
