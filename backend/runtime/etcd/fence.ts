// What every write of a master compares, so that nobody else's commit lies between. It must never write the head.

import type { Change, CommitOutcome } from '../../core/ports.js';
import { base64 } from './layout.js';
import type { Control, Layout } from './layout.js';
import { put, remove } from './transactions.js';
import type { Compare, Transactions, Verdict } from './transactions.js';

const APPLY_MS = 5000;

/** What every write of a master compares. */
export interface Fence {
  readonly masterRevision: number;
  readonly headRevision: number;
}

/** The transaction of one piece of a commit that is done: it applies the piece and removes it, in encoded form `stagedKey`. */
export async function applyPiece(
  transactions: Transactions,
  layout: Layout,
  fence: Fence,
  piece: readonly Change[],
  stagedKey: string,
): Promise<CommitOutcome> {
  const operations = piece.map(({ key, value }) =>
    value === null ? remove(layout.data(key)) : put(layout.data(key), base64(value)),
  );
  operations.push(remove(stagedKey));
  const { outcome } = await transactions.transact(
    unchanged(fence),
    operations,
    isUnchanged(fence),
    APPLY_MS,
  );
  return outcome;
}

export function unchanged({ masterRevision, headRevision }: Fence): Compare[] {
  return [
    ['master', masterRevision],
    ['head', headRevision],
  ];
}

/** Of transactions that may be done twice while nothing else was committed. */
export function isUnchanged(fence: Fence): (control: Control) => Verdict {
  return ({ masterRevision, headRevision }) =>
    masterRevision === fence.masterRevision && headRevision === fence.headRevision
      ? 'open'
      : 'conflict';
}
