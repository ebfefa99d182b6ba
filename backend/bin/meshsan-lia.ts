// The command line that asks the agents of nodes.

import { runNodeAgents } from '../cli/node-agents.js';
import { quietWhenUnread } from '../cli/terminal.js';

quietWhenUnread();
process.exitCode = await runNodeAgents(process.argv.slice(2), {
  out(line) {
    process.stdout.write(`${line}\n`);
  },
  err(line) {
    process.stderr.write(`${line}\n`);
  },
});
