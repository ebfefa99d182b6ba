// What came of a run.

import type { PowerCounts } from './power.js';
import type { SnapshotCounts } from './snapshot-operator.js';

export interface Verdict {
  /** In sentences; none: everything that was promised was kept. */
  readonly failures: readonly string[];
  readonly troubles: number;
  readonly operations: number;
  /** Requests whose outcome nobody knows: their connection ended. */
  readonly unanswered: number;
  readonly longestMs: number;
  /** Which request took so long. */
  readonly longest: string;
  /** Sectors of which too many orders were possible: nothing is claimed about them. */
  readonly sectorsGivenUp: number;
  readonly seconds: number;
  /** What an operator did with snapshots; null: the run did not come so far. */
  readonly snapshots: SnapshotCounts | null;
  /** What its power cuts met; null: nobody's power could be cut. */
  readonly power: PowerCounts | null;
}
