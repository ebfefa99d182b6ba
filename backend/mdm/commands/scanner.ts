// The command about the background scanner of a storage pool.

import { scannerOf } from '../../cluster-map/scanner-policy.js';
import { found } from '../refusal.js';
import { NOTHING } from './context.js';
import type { Handlers } from './context.js';

export const SCANNER_COMMANDS: Handlers<'SET_POOL_SCANNER'> = {
  SET_POOL_SCANNER({ state }, params) {
    const pool = found(state.pools.get(params.key), 'POOL_NOT_FOUND');
    const before = scannerOf(pool);
    state.pools.put(pool.key, {
      ...pool,
      scanner: {
        mode: params.mode ?? before.mode,
        bandwidthKbps: params.bandwidthKbps ?? before.bandwidthKbps,
        readErrorAction: params.readErrorAction ?? before.readErrorAction,
        compareErrorAction: params.compareErrorAction ?? before.compareErrorAction,
        resets: params.resetCounters ? before.resets + 1 : before.resets,
      },
    });
    return NOTHING;
  },
};
