// What lies on the disk of a simulated MDM: its part in the cluster, and a store of its own. It outlives every process.

import { NO_PART } from '../protocol/node-state.js';
import type { NodeRecord, StoreMark } from '../protocol/node-state.js';

import { SimMetadata } from './metadata-store.js';

export class MdmDisk {
  record: NodeRecord = NO_PART;
  mark: StoreMark | null = null;
  readonly content = new SimMetadata();
}
