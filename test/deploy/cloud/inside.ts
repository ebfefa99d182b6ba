// The program that the deployment test runs inside the machine with OpenStack: brings it up, and later proves what became of
// it. It prints a line per step.

import { clearInterruption, Progress, RunError } from '../../openstack/progress.js';
import { bringNodeUp } from './node-up.js';
import { describeNode } from './node-state.js';
import { proveDefault, proveDeployed } from './node-proof.js';

const [verb = '', address = ''] = process.argv.slice(2);
const progress = new Progress(process.stdout);
clearInterruption();

async function main(): Promise<void> {
  const state = describeNode(address);
  switch (verb) {
    case 'up':
      await bringNodeUp(state, progress);
      return;
    case 'before':
      await proveDefault(state, progress);
      return;
    case 'after':
      await proveDeployed(state, progress);
      return;
    default:
      throw new RunError(`there is no verb "${verb}"`);
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
}
