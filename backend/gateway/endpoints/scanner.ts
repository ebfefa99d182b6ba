// Endpoints for the background scanner of a storage pool. It must never judge a setting beyond its form.

import type { SetPoolScannerParams } from '../../protocol/generated/types.js';
import {
  KEEP_POOL_SCANNER,
  REST_SCANNER_ACTIONS,
  REST_SCANNER_MODES,
  SCANNER_KBPS,
  wordNamed,
} from '../../runtime/scanner-words.js';
import { action, ask, pathKey } from '../action.js';
import { ApiError } from '../api-error.js';
import { WHOLE, object, oneOf, textOf, wholeOf } from '../body.js';
import type { Call, Route } from '../route.js';

const { deviceOnly, dataComparison } = REST_SCANNER_MODES;
const ACTION = oneOf(Object.values(REST_SCANNER_ACTIONS));

function set(call: Call, change: Partial<Omit<SetPoolScannerParams, 'key'>>): Promise<unknown> {
  return ask(call, 'SET_POOL_SCANNER', { ...KEEP_POOL_SCANNER, ...change, key: pathKey(call) });
}

/** @throws ApiError out of range */
function bandwidthIn(call: Call): number | null {
  const value = wholeOf(call.body, 'bandwidthLimitInKBps') ?? null;
  const [least, most] = SCANNER_KBPS;
  if (value !== null && (value < least || value > most))
    throw ApiError.invalid(`bandwidthLimitInKBps must be from ${least} to ${most}, is ${value}`);
  return value;
}

export const SCANNER_ROUTES: readonly Route[] = [
  action(
    'StoragePool',
    'enableBackgroundDeviceScanner',
    object(
      {
        scannerMode: oneOf([deviceOnly, dataComparison]),
        bandwidthLimitInKBps: WHOLE,
        readErrorAction: ACTION,
        compareErrorAction: ACTION,
      },
      ['scannerMode'],
    ),
    (call) =>
      set(call, {
        mode: wordNamed(REST_SCANNER_MODES, textOf(call.body, 'scannerMode')),
        bandwidthKbps: bandwidthIn(call),
        readErrorAction: wordNamed(REST_SCANNER_ACTIONS, textOf(call.body, 'readErrorAction')),
        compareErrorAction: wordNamed(
          REST_SCANNER_ACTIONS,
          textOf(call.body, 'compareErrorAction'),
        ),
      }),
  ),
  action('StoragePool', 'disableBackgroundDeviceScanner', object({}, []), (call) =>
    set(call, { mode: 'disabled' }),
  ),
  action('StoragePool', 'resetBackgroundDeviceScannerErrorCounters', object({}, []), (call) =>
    set(call, { resetCounters: true }),
  ),
];
