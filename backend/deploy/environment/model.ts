// What a deployment is about, wherever it was read from: nodes with roles and addresses, and the settings. Types only, and
// the order of controllers, which must be the same on every node.

import type { DeviceWish, Settings } from '../settings/read.js';

/** Roles of nodes that mean something here; `storage` is our own. */
export const ROLES = ['primary-controller', 'controller', 'compute', 'cinder', 'storage'] as const;
export type Role = (typeof ROLES)[number];

export interface EnvironmentNode {
  /** Short host name, the name of its SDS. */
  readonly name: string;
  readonly fqdn: string;
  readonly roles: readonly Role[];
  readonly managementAddress: string;
  readonly storageAddress: string;
  /** Of this node's own settings; null: those of the environment apply. */
  readonly devices: readonly DeviceWish[] | null;
  /** Paths of this node whose foreign content may be erased. */
  readonly takeover: readonly string[];
}

export interface Environment {
  readonly source: 'fuel' | 'inventory';
  /** Names the environment in texts and as the system's name. */
  readonly label: string;
  readonly nodes: readonly EnvironmentNode[];
  /** Virtual addresses in front of the gateways; the public one may be null. */
  readonly managementVip: string;
  readonly publicVip: string | null;
  readonly settings: Settings;
}

/** What was wrong with an input, all of it; each a sentence that says where and what would be right. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  readonly faults: readonly string[];

  constructor(source: string, faults: readonly string[]) {
    super(`${source} cannot be used:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.faults = faults;
  }
}

/** An environment that was read, and what people should know about it. */
export interface ReadEnvironment {
  readonly environment: Environment;
  readonly notes: readonly string[];
}

export const isController = ({ roles }: EnvironmentNode): boolean =>
  roles.includes('primary-controller') || roles.includes('controller');

function addressValue(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Controllers: the primary one first, the others by management address. */
export function controllersOf(environment: Environment): readonly EnvironmentNode[] {
  const rank = (node: EnvironmentNode): number =>
    node.roles.includes('primary-controller') ? 0 : 1;
  return environment.nodes
    .filter(isController)
    .sort(
      (a, b) =>
        rank(a) - rank(b) || addressValue(a.managementAddress) - addressValue(b.managementAddress),
    );
}

/** Devices that a node should serve, by the settings. */
export function devicesOf(environment: Environment, node: EnvironmentNode): readonly DeviceWish[] {
  const { settings } = environment;
  if (settings.existing !== null) return [];
  const own = node.devices ?? settings.nodeDevices.get(node.name);
  const serves =
    node.roles.includes('storage') ||
    (isController(node) && settings.sdsOnController) ||
    (node.roles.includes('compute') && settings.sdsOnCompute);
  return serves ? (own ?? settings.devices) : [];
}

/** Paths of a node whose foreign content may be erased, because the settings of that node say so. */
export function takeoverOf({ settings }: Environment, node: EnvironmentNode): readonly string[] {
  return [...node.takeover, ...(settings.takeover.get(node.name) ?? [])];
}

/** Addresses at which clients and servers look for the MDM: all controllers, since it may move between them. */
export function mdmAddressesOf(environment: Environment): readonly string[] {
  const { existing } = environment.settings;
  if (existing !== null) return existing.mdm;
  return controllersOf(environment).map((node) => node.managementAddress);
}

/** Where OpenStack finds the gateway. */
export function gatewayHostOf(environment: Environment): string {
  return environment.settings.existing?.gatewayHost ?? environment.managementVip;
}
