// Prints the block devices of this host as JSON, for the agent that started it: in a process of its own, because a read of
// a broken disk may not end.

import { nodeDevices } from '../runtime/node-agent/devices.js';

process.stdout.write(JSON.stringify(nodeDevices()));
