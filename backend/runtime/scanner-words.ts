// The words for the background scanner that REST clients and the command line use, and what they mean to the MDM. It must
// never ask for a change.

import { LIMIT } from '../protocol/generated/constants.js';
import type {
  ScannerAction,
  ScannerMode,
  SetPoolScannerParams,
} from '../protocol/generated/types.js';

/** As the original's REST API spells them. */
export const REST_SCANNER_MODES: Readonly<Record<ScannerMode, string>> = {
  disabled: 'Disabled',
  deviceOnly: 'DeviceOnly',
  dataComparison: 'DataComparison',
};
export const REST_SCANNER_ACTIONS: Readonly<Record<ScannerAction, string>> = {
  reportOnly: 'ReportOnly',
  reportAndFix: 'ReportAndFix',
};

/** As its command line takes them. */
export const SCLI_SCANNER_MODES: Readonly<Record<Exclude<ScannerMode, 'disabled'>, string>> = {
  deviceOnly: 'device_only',
  dataComparison: 'data_comparison',
};
export const SCLI_SCANNER_ACTIONS: Readonly<Record<ScannerAction, string>> = {
  reportOnly: 'report_only',
  reportAndFix: 'report_and_fix',
};

/** As its reports print them. */
export const REPORT_SCANNER_MODES: Readonly<Record<ScannerMode, string>> = {
  disabled: 'Disabled',
  deviceOnly: 'Device only',
  dataComparison: 'Data comparison',
};

/** The value that a word of a table names, in whatever case, or null. */
export function wordNamed<V extends string>(
  table: Readonly<Record<V, string>>,
  word: string | undefined,
): V | null {
  const wanted = word?.toLowerCase();
  const values = Object.keys(table) as V[];
  return values.find((value) => table[value].toLowerCase() === wanted) ?? null;
}

/** Least and most bandwidth in KB per second. */
export const SCANNER_KBPS = [LIMIT.scannerKbpsMin, LIMIT.scannerKbpsMax] as const;

/** Leaves everything about the scanner of a pool as it is. */
export const KEEP_POOL_SCANNER: Omit<SetPoolScannerParams, 'key'> = {
  mode: null,
  bandwidthKbps: null,
  readErrorAction: null,
  compareErrorAction: null,
  resetCounters: false,
};
