// What planning works with: what was seen on a node and in the cluster, and the steps that are to be done. Data only, so
// that plans can be shown, compared and tested without a machine.

import type { Environment, EnvironmentNode } from '../environment/model.js';

/** What a task wants to know before it plans. */
export interface Questions {
  readonly files?: readonly string[];
  readonly packages?: readonly string[];
  /** Packages of which the version is wanted that could be installed. */
  readonly candidates?: readonly string[];
  readonly units?: readonly string[];
  readonly devices?: readonly string[];
  /** State of the cluster; `needed`: the task waits until the MDM answers. */
  readonly cluster?: 'needed' | 'ifThere';
  /** Hosts that may run an MDM. */
  readonly managers?: readonly string[];
  /** Gateways to log in to. */
  readonly gateways?: readonly string[];
  /** Nodes whose agents report. */
  readonly agents?: readonly string[];
  readonly volumeTypes?: boolean;
}

export interface FileSeen {
  readonly text: string;
  readonly mode: number;
}

export interface UnitSeen {
  readonly exists: boolean;
  readonly active: boolean;
  readonly enabled: boolean;
}

export interface DeviceSeen {
  /** Why it cannot be a device at all, or null. */
  readonly fault: string | null;
  readonly sizeBytes: number;
  readonly inUse: string | null;
  /** What other software left on it, or null. */
  readonly foreign: string | null;
  readonly damaged: string | null;
  readonly systemId: string | null;
  readonly deviceKey: number;
}

/** What the agent of a node reports. */
export interface AgentSeen {
  /** Why it cannot be asked, or null. */
  readonly fault: string | null;
  readonly packages: readonly {
    readonly name: string;
    readonly version: string;
    readonly state: string;
  }[];
  /** Services of ours that ended in failure. */
  readonly failed: readonly string[];
}

export interface PoolView {
  readonly key: number;
  readonly name: string;
  readonly domain: string;
  readonly mediaType: string;
  readonly durability: string;
  readonly zeroPadding: boolean;
  readonly checksums: boolean;
  readonly rmcache: boolean;
  readonly sparePercent: number;
  readonly alertHighPercent: number;
  readonly alertCriticalPercent: number;
  readonly volumes: number;
}

export interface SdsView {
  readonly key: number;
  readonly name: string;
  readonly hosts: readonly string[];
  readonly connected: boolean;
  readonly devices: readonly {
    readonly key: number;
    readonly path: string;
    readonly pool: string;
    readonly connected: boolean;
    readonly failure: string;
  }[];
}

export interface SdcView {
  readonly key: number;
  readonly name: string;
  readonly guid: string;
  readonly approved: boolean;
  readonly connected: boolean;
  readonly mappings: number;
}

/** An MDM or tie-breaker of the cluster. */
export interface MdmView {
  readonly name: string;
  readonly host: string;
  readonly role: 'manager' | 'tieBreaker';
  /** It takes part; otherwise it is a standby. */
  readonly member: boolean;
  readonly master: boolean;
  readonly up: boolean;
}

export interface ClusterView {
  readonly systemId: string;
  readonly systemName: string;
  readonly mdms: readonly MdmView[];
  readonly approval: string;
  readonly domains: readonly string[];
  readonly pools: readonly PoolView[];
  readonly sds: readonly SdsView[];
  readonly sdcs: readonly SdcView[];
  readonly users: readonly string[];
  readonly degradedCombs: number;
  readonly unavailableCombs: number;
}

/** The system that an MDM was reached of through an address. */
export interface ManagerSeen {
  readonly host: string;
  readonly systemId: string;
  /** Where that system has MDMs. */
  readonly mdmHosts: readonly string[];
}

/** What was seen. A map lacks what was not asked; null: it is not there. */
export interface Observation {
  readonly files: ReadonlyMap<string, FileSeen | null>;
  /** Installed versions. */
  readonly packages: ReadonlyMap<string, string | null>;
  /** Versions that could be installed; null: none. */
  readonly candidates: ReadonlyMap<string, string | null>;
  readonly units: ReadonlyMap<string, UnitSeen>;
  readonly devices: ReadonlyMap<string, DeviceSeen>;
  readonly cluster: ClusterView | null;
  /** Of the hosts asked, those through which a master answers. */
  readonly managers: readonly ManagerSeen[];
  /** Why each gateway could not be used; null: it works. */
  readonly gateways: ReadonlyMap<string, string | null>;
  readonly agents: ReadonlyMap<string, AgentSeen>;
  /** Names of Cinder's volume types; null: they cannot be asked for here. */
  readonly volumeTypes: readonly string[] | null;
  readonly host: {
    readonly memoryBytes: number;
    readonly addresses: readonly string[];
    readonly hostName: string;
  };
}

export type ClusterRequest =
  | { readonly op: 'addDomain'; readonly name: string }
  | {
      readonly op: 'addPool' | 'setPool';
      readonly domain: string;
      readonly name: string;
      readonly mediaType: string;
      readonly durability: 'media' | 'device' | 'memory';
      readonly zeroPadding: boolean;
      readonly checksums: boolean;
      readonly rmcache: boolean;
      readonly sparePercent: number;
      readonly alertHighPercent: number;
      readonly alertCriticalPercent: number;
    }
  | { readonly op: 'setApproval'; readonly approval: 'none' | 'guid' }
  | {
      readonly op: 'addUser';
      readonly name: string;
      readonly role: 'frontendConfigure';
      readonly password: string;
    }
  | {
      readonly op: 'addSds';
      readonly domain: string;
      readonly name: string;
      readonly addresses: readonly NodeAddress[];
      readonly devices: readonly NewDevice[];
    }
  | {
      readonly op: 'addDevice';
      readonly sds: string;
      readonly domain: string;
      readonly device: NewDevice;
    }
  | { readonly op: 'removeSds'; readonly name: string; readonly force: boolean }
  | { readonly op: 'approveSdc'; readonly guid: string }
  | { readonly op: 'removeSdc'; readonly name: string }
  | {
      readonly op: 'addStandby';
      readonly name: string;
      readonly host: string;
      readonly role: 'manager' | 'tieBreaker';
    }
  | { readonly op: 'removeStandby' | 'switchOwnership'; readonly name: string }
  | {
      readonly op: 'switchCluster';
      readonly mode: 1 | 3 | 5;
      /** Names of MDMs. */
      readonly add: readonly string[];
      readonly remove: readonly string[];
      /** Members that leave may be out of reach. */
      readonly allowFailed: boolean;
    };

export interface NodeAddress {
  readonly host: string;
  readonly role: 'all' | 'management';
}

export interface NewDevice {
  readonly pool: string;
  readonly path: string;
  /** Foreign content may be overwritten: this node's settings name the device for it. */
  readonly force: boolean;
}

/** One change. `about` is a sentence for people, without secrets. */
export type Step = { readonly about: string } & (
  | { readonly kind: 'packages'; readonly names: readonly string[] }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly text: string;
      /** Of a new file; a present one keeps owner and mode unless `enforceMode`. */
      readonly mode: number;
      readonly enforceMode: boolean;
      /** User to whom it belongs, where that user exists; otherwise it stays whose it is. */
      readonly owner?: string;
    }
  | { readonly kind: 'setup'; readonly args: readonly string[] }
  | {
      readonly kind: 'unit';
      readonly unit: string;
      readonly action: 'start' | 'restart' | 'reload';
    }
  | { readonly kind: 'enable'; readonly unit: string }
  | { readonly kind: 'run'; readonly argv: readonly string[] }
  | { readonly kind: 'cluster'; readonly request: ClusterRequest }
);

export interface Plan {
  readonly steps: readonly Step[];
  /** Why nothing may be done; then there are no steps. */
  readonly refusals: readonly string[];
  readonly notes: readonly string[];
}

export interface Context {
  readonly environment: Environment;
  readonly self: EnvironmentNode;
  readonly seen: Observation;
  /** Secrets of the environment. */
  readonly secrets: Secrets;
  /** Version of this software, which all packages of a node must have. */
  readonly version: string;
}

export interface Secrets {
  /** 64 hex digits. */
  readonly system: string;
  readonly adminPassword: string;
  /** Of the account that Cinder uses. */
  readonly openstackPassword: string;
  /** Shared between Cinder's driver and the bridge: 64 hex digits. */
  readonly bridgeToken: string;
  /** That the agents of all nodes and their askers know: 64 hex digits. */
  readonly agentToken: string;
  /** Who vouches for packages. */
  readonly signerPem: string;
  readonly signerKeyPem: string;
  readonly authorityPem: string;
  readonly authorityKeyPem: string;
}

export const refused = (...refusals: string[]): Plan => ({ steps: [], refusals, notes: [] });
export const planned = (steps: readonly Step[], notes: readonly string[] = []): Plan => ({
  steps,
  refusals: [],
  notes,
});
