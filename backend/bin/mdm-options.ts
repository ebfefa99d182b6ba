// What an MDM's machine is given, from the configuration of its process.

import { randomBytes } from 'node:crypto';

import type { MdmPlace } from '../core/ports.js';
import { placeName } from '../mdm/cluster-state.js';
import type { ManagerTimes } from '../mdm/manager.js';
import { MDM_DEFAULTS } from '../mdm/options.js';
import type { InitialSystem, MdmOptions } from '../mdm/options.js';

import { OPTIONS } from '../protocol/tables/options.js';

import type { MdmConfig } from './mdm-config.js';

/** Part of the detection time for which a master that cannot be confirmed holds on to its links. */
const HOLD_ON_OF_DETECTION = 0.4;

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
    slowFactor: options.slowDeviceFactor ?? MDM_DEFAULTS.slowFactor,
    slowMicrosMin: options.slowDeviceMicrosMin ?? MDM_DEFAULTS.slowMicrosMin,
    slowSamples: options.slowDeviceSamples ?? MDM_DEFAULTS.slowSamples,
    slowProofMs: options.slowDeviceProofMs ?? MDM_DEFAULTS.slowProofMs,
    movesPerDevice: options.movesPerDevice ?? MDM_DEFAULTS.movesPerDevice,
    movesMax: options.movesMax ?? MDM_DEFAULTS.movesMax,
    deviceAddTimeoutMs: options.deviceAddTimeoutMs ?? MDM_DEFAULTS.deviceAddTimeoutMs,
    combCountLog2: options.combCountLog2 ?? MDM_DEFAULTS.combCountLog2,
    combsPerPair: options.combsPerPair ?? MDM_DEFAULTS.combsPerPair,
    overProvisioningFactor: options.overProvisioningFactor ?? MDM_DEFAULTS.overProvisioningFactor,
    cutHoldMs: options.cutHoldMs ?? MDM_DEFAULTS.cutHoldMs,
    snapshotsPerVtree: options.snapshotsPerVtree ?? MDM_DEFAULTS.snapshotsPerVtree,
    initial: initialSystem(config),
  };
}

/** How this node shows itself to standbys. */
export function ownPlace({ addresses, port }: MdmConfig): MdmPlace {
  const host = addresses[0]?.host ?? '';
  return { name: placeName({ host, port }), host, port };
}

/** @param detectionMs - of the machine */
export function managerTimes({ options }: MdmConfig, detectionMs: number): ManagerTimes {
  const beatMs = options.masterBeatMs ?? OPTIONS.masterBeatMs.default;
  const silenceMs = options.masterSilenceMs ?? OPTIONS.masterSilenceMs.default;
  const giveUpMs = silenceMs + Math.floor(detectionMs * HOLD_ON_OF_DETECTION);
  return { beatMs, silenceMs, giveUpMs };
}
