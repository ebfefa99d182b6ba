// What lies on the disk of a simulated MDM: its part in the cluster, and a store of its own. It outlives every process.

import type { MdmContent } from '../mdm/options.js';
import { NO_PART, leftRecord } from '../protocol/node-state.js';
import type { NodeRecord, StoreMark } from '../protocol/node-state.js';

import { SimMetadata } from './metadata-store.js';

export class MdmDisk {
  record: NodeRecord = NO_PART;
  mark: StoreMark | null = null;
  readonly content = new SimMetadata();

  /** A backup takes the place of the own store. */
  restore({ term, sequence, entries }: MdmContent): void {
    this.content.load(term, sequence, entries);
    this.mark = { state: 'restored', token: 'restored' };
    this.record = leftRecord(this.record, this.record.term);
  }

  /** There is no own store any more. */
  clear(): void {
    this.content.replace(new SimMetadata());
    this.mark = null;
  }
}
