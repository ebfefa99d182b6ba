// What the background scanner of a storage pool does as long as nobody set anything. It must never know who scans.

import type { ScannerPolicy } from '../protocol/generated/types.js';

/** Off, as in the original; what it would do is to put right whatever it finds. */
export const SCANNER_OFF: ScannerPolicy = {
  mode: 'disabled',
  bandwidthKbps: 3072,
  readErrorAction: 'reportAndFix',
  compareErrorAction: 'reportAndFix',
  resets: 0,
};

/** As it is set. */
export function scannerOf({ scanner }: { readonly scanner: ScannerPolicy | null }): ScannerPolicy {
  return scanner ?? SCANNER_OFF;
}
