// Before the client of this host is removed: takes away the block devices that nobody uses, and ends their holder. Exit 1,
// with a sentence each, when some are in use; they stay.

import { releaseDevices } from '../deploy/local/devices.js';
import { startFailureCode } from './process-exit.js';
import { readSdcConfig } from './sdc-config.js';

const CONFIG_FILE = '/etc/meshsan/sdc.json';

async function main(): Promise<number> {
  const { controlSocket, stateDir } = readSdcConfig(CONFIG_FILE);
  const kept = await releaseDevices({ sdcControl: controlSocket }, stateDir);
  for (const reason of kept) process.stderr.write(`${reason}\n`);
  return kept.length === 0 ? 0 : 1;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(
      `sdc-release: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exitCode = startFailureCode(error);
  },
);
