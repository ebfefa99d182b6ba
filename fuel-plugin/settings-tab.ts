// The settings tab of the plugin, made from the table of settings: environment_config.yaml, and node_config.yaml where
// nodes have attributes. It must never hold a setting that the deployer does not read.

import { NODE_SECTION, PLUGIN_NAME } from '../backend/deploy/environment/astute.js';
import { SETTINGS } from '../backend/deploy/settings/table.js';
import type { SettingRow } from '../backend/deploy/settings/table.js';
import { TITLE } from './model.js';
import type { Format } from './model.js';

const WEIGHT = 70;
const WEIGHT_STEP = 10;
const KEY_DIGITS = '64';

type Json = Readonly<Record<string, unknown>>;

const existing = (value: boolean): Json => ({
  condition: `settings:${PLUGIN_NAME}.existing_cluster.value == ${value}`,
  action: 'hide',
});

function attribute(row: SettingRow, weight: number): Json {
  const { kind, label, description, values, pattern, hint, only } = row;
  const generated = kind === 'generated';
  return {
    type: generated ? 'hidden' : kind,
    label,
    description,
    weight,
    value: generated ? { generator: 'hexstring', generator_arg: KEY_DIGITS } : row.value,
    ...(values === undefined ? {} : { values: values.map((value) => ({ ...value })) }),
    ...(pattern === undefined || generated
      ? {}
      : { regex: { source: `^(?:${pattern})$`, error: `It must ${hint ?? 'be valid'}` } }),
    ...(only === undefined ? {} : { restrictions: [existing(only === 'new')] }),
  };
}

/** environment_config.yaml */
export function environmentConfig({ crossNode }: Format): Json {
  const rows = Object.entries<SettingRow>(SETTINGS);
  return {
    attributes: {
      metadata: {
        label: TITLE,
        enabled: false,
        toggleable: true,
        weight: WEIGHT,
        ...(crossNode ? { group: 'storage' } : {}),
        restrictions: [
          {
            condition: 'cluster:mode == "multinode"',
            action: 'disable',
            message: 'At least three controllers are needed (mode: HA)',
          },
        ],
      },
      ...Object.fromEntries(
        rows.map(([name, row], index) => [name, attribute(row, (index + 1) * WEIGHT_STEP)]),
      ),
    },
  };
}

/** node_config.yaml: devices of a single node. */
export function nodeConfig(): Json {
  const { device_paths: devices } = SETTINGS;
  const text = (label: string, description: string, weight: number): Json => ({
    type: 'text',
    label,
    description,
    weight,
    value: '',
    regex: { source: `^(?:${devices.pattern})$`, error: `It must ${devices.hint}` },
  });
  return {
    [NODE_SECTION]: {
      metadata: { label: TITLE, group: 'storage', weight: WEIGHT },
      devices: text('Devices', 'Of this node, instead of those of the environment.', WEIGHT_STEP),
      takeover: text(
        'Devices whose present content may be erased',
        'Only these are formatted although they carry data of others.',
        2 * WEIGHT_STEP,
      ),
    },
  };
}
