// What an MDM's machine is given, from the configuration of its process.

import { randomBytes } from 'node:crypto';

import { MDM_DEFAULTS } from '../mdm/options.js';
import type { InitialSystem, MdmOptions } from '../mdm/options.js';

import type { MdmConfig } from './mdm-config.js';

/** A new system's identity. */
export function freshSystem(systemName: string, admin: InitialSystem['admin']): InitialSystem {
  return {
    ...{ systemName, admin },
    // Half of all random prefixes look like negative numbers to clients that read ids as signed: the upper bit stays 0.
    idPrefix: (randomBytes(4).readUInt32LE() & 0x7fffffff) | 1,
    installId: randomBytes(8).toString('hex'),
  };
}

function initialSystem({ initialAdmin, systemName }: MdmConfig): InitialSystem | null {
  if (initialAdmin === undefined) return null;
  const { name, saltHex, hashHex } = initialAdmin;
  const [salt, hash] = [Buffer.from(saltHex, 'hex'), Buffer.from(hashHex, 'hex')];
  return freshSystem(systemName, { name, salt, hash });
}

export function machineOptions(config: MdmConfig, wallMsAtZero: number): MdmOptions {
  const { options, addresses, port, name, cluster } = config;
  const { clientPort, peerPort } = cluster;
  return {
    ...MDM_DEFAULTS,
    ...{ name, addresses, port, clientPort, peerPort, wallMsAtZero },
    leaseMs: options.leaseMs ?? MDM_DEFAULTS.leaseMs,
    detectionMs: options.detectionMs ?? MDM_DEFAULTS.detectionMs,
    driftPercent: options.driftPercent ?? MDM_DEFAULTS.driftPercent,
    drainTimeoutMs: options.drainTimeoutMs ?? MDM_DEFAULTS.drainTimeoutMs,
    rebuildDelayMs: options.rebuildDelayMs ?? MDM_DEFAULTS.rebuildDelayMs,
    rebalanceDelayMs: options.rebalanceDelayMs ?? MDM_DEFAULTS.rebalanceDelayMs,
    movesPerDevice: options.movesPerDevice ?? MDM_DEFAULTS.movesPerDevice,
    movesMax: options.movesMax ?? MDM_DEFAULTS.movesMax,
    deviceAddTimeoutMs: options.deviceAddTimeoutMs ?? MDM_DEFAULTS.deviceAddTimeoutMs,
    combCountLog2: options.combCountLog2 ?? MDM_DEFAULTS.combCountLog2,
    overProvisioningFactor: options.overProvisioningFactor ?? MDM_DEFAULTS.overProvisioningFactor,
    initial: initialSystem(config),
  };
}
