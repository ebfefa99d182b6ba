// Commands for the background scanner of a storage pool.

import { scannerOf } from '../../cluster-map/scanner-policy.js';
import type { SetPoolScannerParams, StoragePool } from '../../protocol/generated/types.js';
import {
  KEEP_POOL_SCANNER,
  REPORT_SCANNER_MODES,
  SCANNER_KBPS,
  SCLI_SCANNER_ACTIONS,
  SCLI_SCANNER_MODES,
  wordNamed,
} from '../../runtime/scanner-words.js';
import { POOL_REF, needed, poolOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Run } from '../option.js';
import { UsageError } from '../parser.js';

const topicPools = 'Storage pools';

/** The value that the word of an option names, null: it is not given. @throws UsageError another word */
function wordIn<V extends string>(
  run: Run,
  option: string,
  table: Readonly<Record<V, string>>,
): V | null {
  const word = run.values.get(option);
  const value = wordNamed(table, word);
  if (word !== undefined && value === null)
    throw new UsageError(
      `--${option} must be one of ${Object.values(table).join(', ')}, is "${word}"`,
    );
  return value;
}

/** @throws UsageError out of range */
function bandwidthFrom(run: Run): number | null {
  const text = run.values.get('scanner_bandwidth_limit');
  if (text === undefined) return null;
  const [least, most] = SCANNER_KBPS;
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError(
      `--scanner_bandwidth_limit must be a whole number from ${least} to ${most}, is "${text}"`,
    );
  return value;
}

function scanner(
  name: string,
  about: string,
  options: readonly Option[],
  change: (run: Run) => Partial<Omit<SetPoolScannerParams, 'key'>>,
): Command {
  return {
    name,
    topic: topicPools,
    about,
    options: [...POOL_REF, ...options],
    run: async (run) => {
      const pool = needed(await poolOf(run.reader, run.values), 'storage pool');
      const params = { ...KEEP_POOL_SCANNER, ...change(run), key: pool.key };
      await run.cluster.command('SET_POOL_SCANNER', run.user, params);
      return outcome(`Successfully modified storage pool ${pool.name}`);
    },
  };
}

/** What is set for a pool, as its report says it. */
export function scannerLine(pool: StoragePool): string {
  const { mode, bandwidthKbps } = scannerOf(pool);
  const limit = mode === 'disabled' ? '' : `, Bandwidth Limit ${bandwidthKbps} KBps`;
  return `Background device scanner: ${REPORT_SCANNER_MODES[mode]}${limit}`;
}

const ACTIONS = Object.values(SCLI_SCANNER_ACTIONS).join(', ');

export const SCANNER_COMMANDS: readonly Command[] = [
  scanner(
    'enable_background_device_scanner',
    'have the devices of a pool verified, and their copies compared, in the background',
    [
      {
        name: 'scanner_mode',
        value: 'MODE',
        about: Object.values(SCLI_SCANNER_MODES).join(', '),
        required: true,
      },
      { name: 'scanner_bandwidth_limit', value: 'KBPS', about: 'KB per second and device' },
      { name: 'read_error_action', value: 'ACTION', about: `about bad blocks: ${ACTIONS}` },
      {
        name: 'compare_error_action',
        value: 'ACTION',
        about: `about copies that differ: ${ACTIONS}`,
      },
    ],
    (run) => ({
      mode: wordIn(run, 'scanner_mode', SCLI_SCANNER_MODES),
      bandwidthKbps: bandwidthFrom(run),
      readErrorAction: wordIn(run, 'read_error_action', SCLI_SCANNER_ACTIONS),
      compareErrorAction: wordIn(run, 'compare_error_action', SCLI_SCANNER_ACTIONS),
    }),
  ),
  scanner('disable_background_device_scanner', 'stop the background scanner of a pool', [], () => ({
    mode: 'disabled',
  })),
  scanner(
    'reset_background_device_scanner_error_counters',
    'have the scanner of a pool count from zero',
    [],
    () => ({ resetCounters: true }),
  ),
];
