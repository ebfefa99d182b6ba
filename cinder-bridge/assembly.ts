// Builds a bridge from its configuration.

import { readFileSync } from 'node:fs';

import { VERSION } from '../backend/core/version.js';
import type { Log } from '../backend/core/ports.js';
import { ConfigError } from '../backend/runtime/config-file.js';
import { readPrivateFile } from '../backend/runtime/secret-file.js';

import { Bridge } from './bridge.js';
import type { BridgeConfig } from '../backend/runtime/bridge-config.js';
import { GatewayClient } from './gateway/client.js';
import { Cluster } from './gateway/cluster.js';
import { Transport } from './gateway/transport.js';

export interface Assembled {
  readonly bridge: Bridge;
  readonly close: () => void;
}

function authority(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`caFile ${path} cannot be read: ${(error as Error).message}`);
  }
}

/** @throws ConfigError, PrivateFileError when a file that the configuration names cannot be used */
export function assemble(config: BridgeConfig, log: Log): Assembled {
  const { gateways, caFile, username, passwordFile, hosts, defaultSdcGuid } = config;
  const ca = authority(caFile);
  const password = (): string => readPrivateFile(passwordFile).replace(/\r?\n$/, '');
  // Said now, not at the first request.
  password();
  const client = new GatewayClient({
    transports: gateways.map((url) => new Transport(url, ca)),
    ...{ username, password, log },
    deadlineMs: config.requestTimeoutSeconds * 1000,
  });
  const rules = { hosts, defaultSdcGuid: defaultSdcGuid ?? null };
  return {
    bridge: new Bridge(new Cluster(client), rules, log, VERSION),
    close: () => {
      client.close();
    },
  };
}
