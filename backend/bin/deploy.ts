// The deployer: `meshsan-deploy` of the packages; Fuel's tasks call it on each node, operators without Fuel on theirs.

import { main } from '../deploy/command-line.js';

await main(process.argv.slice(2));
