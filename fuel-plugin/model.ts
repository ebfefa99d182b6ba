// What the Fuel plugin is, for all generations of Fuel: which package format goes with which releases, and what differs
// between the formats. It owns these facts; how they become files is in the other modules of this folder.

import { PLUGIN_NAME } from '../backend/deploy/environment/astute.js';

export const PACKAGE_VERSIONS = ['2.0.0', '3.0.0', '4.0.0', '5.0.0'] as const;
export type PackageVersion = (typeof PACKAGE_VERSIONS)[number];

export interface Format {
  readonly packageVersion: PackageVersion;
  /** Fuel releases that load it. */
  readonly fuel: readonly string[];
  /** Environments that it is offered for. */
  readonly releases: readonly string[];
  /**
   * Version of the plugin. Its first two numbers are part of the RPM's name, so each format has its own: those of the
   * first Fuel release that it is for.
   */
  readonly version: string;
  /** Roles of its own, volumes and the task graph came with 3.0.0. */
  readonly graph: boolean;
  /** Components, hot plugging, groups of settings, tasks that wait for other nodes: 4.0.0. */
  readonly crossNode: boolean;
  /** Attributes of single nodes: 5.0.0. */
  readonly nodeAttributes: boolean;
}

export const FORMATS: readonly Format[] = [
  {
    packageVersion: '2.0.0',
    fuel: ['6.1'],
    releases: ['2014.2.2-6.1'],
    version: '6.1.0',
    graph: false,
    crossNode: false,
    nodeAttributes: false,
  },
  {
    packageVersion: '3.0.0',
    fuel: ['7.0'],
    releases: ['2015.1.0-7.0'],
    version: '7.0.0',
    graph: true,
    crossNode: false,
    nodeAttributes: false,
  },
  {
    packageVersion: '4.0.0',
    fuel: ['8.0'],
    releases: ['liberty-8.0'],
    version: '8.0.0',
    graph: true,
    crossNode: true,
    nodeAttributes: false,
  },
  {
    packageVersion: '5.0.0',
    fuel: ['9.0', '10.0'],
    releases: ['mitaka-9.0', 'newton-10.0'],
    version: '9.0.0',
    graph: true,
    crossNode: true,
    nodeAttributes: true,
  },
];

export const TITLE = 'MeshSAN';
export const DESCRIPTION =
  'Mirrored block storage from the local disks of the nodes, compatible with ScaleIO: deploys a cluster or uses an existing one, and serves the volumes of Cinder.';

/** Folder of a format's plugin, also the name of its RPM. */
export function folderOf({ version }: Format): string {
  return `${PLUGIN_NAME}-${version.split('.').slice(0, 2).join('.')}`;
}

/** Files by their path below the plugin's folder. */
export type Tree = ReadonlyMap<string, string>;
