// What background scanners found, as statistics tell it. It must never judge it.

import { MIB } from '../../core/units.js';
import type { Device, ScanCounts } from '../../protocol/generated/types.js';

import type { Facts } from './facts.js';

/** What the background scanners of devices found, on all together. */
export function scansOf(facts: Facts, devices: readonly Device[]): ScanCounts {
  const sums = { ...NO_SCANS };
  for (const { key } of devices) {
    const scan = facts.deviceStatus.get(key)?.usage?.scan;
    if (scan == null) continue;
    for (const name of SCAN_COUNTS) sums[name] += scan[name];
  }
  return sums;
}

const NO_SCANS: ScanCounts = {
  ...{ scannedBytes: 0, passes: 0, readErrors: 0, fixedReadErrors: 0 },
  ...{ comparedBytes: 0, compareErrors: 0, fixedCompareErrors: 0 },
};
const SCAN_COUNTS = Object.keys(NO_SCANS) as (keyof ScanCounts)[];
/** As statistics have them; the original counts what was scanned and compared in MB. */
export function scanValues(scan: ScanCounts): Readonly<Record<string, number>> {
  return {
    BackgroundScannedInMB: Math.floor(scan.scannedBytes / MIB),
    BackgroundScanCompareCount: Math.floor(scan.comparedBytes / MIB),
    backgroundScanReadErrorCount: scan.readErrors,
    backgroundScanFixedReadErrorCount: scan.fixedReadErrors,
    backgroundScanCompareErrorCount: scan.compareErrors,
    backgroundScanFixedCompareErrorCount: scan.fixedCompareErrors,
    fixedReadErrorCount: scan.fixedReadErrors,
  };
}
