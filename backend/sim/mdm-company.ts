// What the MDMs of a simulated cluster have in common, and what they see of each other.

import type { NodeReport } from '../mdm/cluster-plan.js';
import type { NodeRecord, ToldTask } from '../protocol/node-state.js';

import type { SimHost } from './host.js';
import type { SimProcess } from './process.js';
import type { SimEtcds } from './shared-store.js';

export const MDM_PORT = 6611;

/** An MDM as another one reaches it. */
export interface SimMdm {
  readonly host: SimHost;
  readonly process: SimProcess | null;
  readonly record: NodeRecord;
  report(): NodeReport;
  /** @returns why not, null: it is so */
  obey(told: ToldTask): string | null;
}

export interface MdmCompany {
  readonly etcds: SimEtcds;
  readonly nodes: () => readonly SimMdm[];
}
