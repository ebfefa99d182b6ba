// Makes the plugin's folder for one package format, as texts by path. It owns which files a format has; it must never write
// to disk.

import { stringify } from 'yaml';
import { PLUGIN_NAME, STORAGE_ROLE } from '../backend/deploy/environment/astute.js';
import { PARTITION_GUID } from '../backend/deploy/shell/partitions.js';
import { DESCRIPTION, TITLE } from './model.js';
import type { Format, Tree } from './model.js';
import { SCRIPT, scriptText } from './script.js';
import { environmentConfig, nodeConfig } from './settings-tab.js';
import { graphTasks, legacyTasks } from './tasks.js';

export interface Product {
  readonly version: string;
  /** Lowest glibc of a node, such as "2.34". */
  readonly glibcMin: string;
}

/** Plain YAML without anchors: Fuel's loader is an old one. */
function yaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0, version: '1.1' });
}

function metadata(format: Format, { version, glibcMin }: Product): object {
  const { packageVersion, fuel, releases, graph, crossNode } = format;
  return {
    name: PLUGIN_NAME,
    title: TITLE,
    version: format.version,
    description: `${DESCRIPTION} Installs MeshSAN ${version}. Nodes need glibc ${glibcMin} or newer and systemd; on others the first task refuses before anything is changed.`,
    fuel_version: fuel,
    licenses: ['Apache License, Version 2.0'],
    authors: ['The MeshSAN maintainers'],
    homepage: 'https://meshsan.example',
    groups: ['storage::cinder'],
    package_version: packageVersion,
    ...(graph ? { build_version: '1' } : {}),
    ...(crossNode ? { is_hotpluggable: false } : {}),
    releases: releases.map((release) => ({
      os: 'ubuntu',
      version: release,
      mode: ['ha'],
      deployment_scripts_path: 'deployment_scripts/',
      repository_path: 'repositories/ubuntu',
    })),
  };
}

function nodeRoles(): object {
  return {
    [STORAGE_ROLE]: {
      name: `${TITLE} storage`,
      description: 'Serves its disks to the cluster.',
      has_primary: false,
      public_ip_required: false,
      weight: 900,
      conflicts: [],
      update_required: ['primary-controller'],
      restrictions: [
        {
          condition: `settings:${PLUGIN_NAME}.existing_cluster.value == true`,
          action: 'disable',
          message: 'An existing cluster is used',
        },
      ],
    },
  };
}

/** Fuel marks the partitions that it makes for us, so that a node finds them itself. */
function volumes(): object {
  return {
    volumes: [
      {
        id: PLUGIN_NAME,
        type: 'partition',
        min_size: { generator: 'calc_gb_to_mb', generator_args: [0] },
        label: TITLE,
        name: TITLE,
        mount: 'none',
        disk_label: PLUGIN_NAME,
        file_system: 'none',
        partition_guid: PARTITION_GUID,
      },
    ],
    volumes_roles_mapping: {
      [STORAGE_ROLE]: [
        { id: 'os', allocate_size: 'min' },
        { id: PLUGIN_NAME, allocate_size: 'full-disk' },
      ],
    },
  };
}

function components(): object[] {
  const beside = (name: string): object => ({ name, message: 'Both are offered as volume types' });
  return [
    {
      name: `storage:block:${PLUGIN_NAME}`,
      label: TITLE,
      description: 'Volumes on mirrored local disks.',
      compatible: [
        beside('storage:block:lvm'),
        { name: 'hypervisor:qemu', message: 'Volumes are attached as block devices' },
        { name: 'storage:image:ceph', message: 'Images may stay in Ceph' },
      ],
    },
  ];
}

/** All files of a format's plugin, without the packages of its repository. */
export function emit(format: Format, product: Product): Tree {
  const files: [string, string][] = [
    ['metadata.yaml', yaml(metadata(format, product))],
    ['environment_config.yaml', yaml(environmentConfig(format))],
    [`deployment_scripts/${SCRIPT}`, scriptText(product.version, product.glibcMin)],
    ['repositories/ubuntu/.gitkeep', ''],
  ];
  if (!format.graph) files.push(['tasks.yaml', yaml(legacyTasks())]);
  if (format.graph)
    files.push(
      ['deployment_tasks.yaml', yaml(graphTasks(format))],
      ['node_roles.yaml', yaml(nodeRoles())],
      ['volumes.yaml', yaml(volumes())],
    );
  if (format.crossNode) files.push(['components.yaml', yaml(components())]);
  if (format.nodeAttributes) files.push(['node_config.yaml', yaml(nodeConfig())]);
  return new Map(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}
