// What an MDM process is, judged from what lies on its disk alone, and what a master's word makes of it. Pure functions: the
// process on an operating system and the one of the simulator follow the same.
//
// A node's own store is in use, or was moved away (sealed), or was put there and waits for the seal of the store that it
// came from (imported, then used). Beside it lies the record of the shared store that the node takes part in.

import type { MdmSeat, MdmTask } from './generated/types.js';

/** What becomes of the content of a node's own store, where that was elsewhere once. */
export interface StoreMark {
  /** restored: from a backup, and not confirmed by the devices yet. */
  readonly state: 'sealed' | 'imported' | 'restored' | 'used';
  /** Of the store that it went to, or of the move that brought it here. */
  readonly token: string;
}

export interface NodeRecord {
  /**
   * none: nothing. forming: the store of this token is being begun, while the content is in the node's own. member: it takes
   * part in that store.
   */
  readonly part: 'none' | 'forming' | 'member';
  readonly token: string;
  readonly prefix: string;
  /** Of the latest master that was obeyed; an older one is not. */
  readonly term: number;
  readonly selfKey: number;
  /** It entered a store that ran already. */
  readonly joins: boolean;
  /** Members as they were when it entered. */
  readonly seats: readonly MdmSeat[];
  /** Where members are now, as far as it knows. */
  readonly endpoints: readonly { readonly host: string; readonly port: number }[];
  /** The store ran here: its files must be there from then on. */
  readonly started: boolean;
}

export const NO_PART: NodeRecord = {
  ...{ part: 'none', token: '', prefix: '', term: 0, selfKey: 0 },
  ...{ joins: false, seats: [], endpoints: [], started: false },
};

export function isInUse(mark: StoreMark | null): boolean {
  return mark === null || mark.state === 'used';
}

export type Boot =
  /** Its own store holds what was restored; only the devices know what happened since. */
  | { readonly kind: 'restored' }
  /** What its own store holds is of no use. */
  | { readonly kind: 'blank' }
  /** `record` says whether it begins a shared store meanwhile. */
  | { readonly kind: 'alone' }
  /** `opens`: it was this node's content that went into the shared store, so it lets everybody use that. */
  | { readonly kind: 'member'; readonly opens: boolean }
  /** The content is somewhere that this node knows nothing of. */
  | { readonly kind: 'lost'; readonly token: string };

/** The node's own store as it lies there. */
export interface OwnStore {
  readonly mark: StoreMark | null;
  readonly isEmpty: boolean;
}

/**
 * What a starting process is, and the record that belongs to it.
 *
 * @param store - null: there is none
 * @param begins - it may make a system where there is none
 */
export function judgeBoot(
  record: NodeRecord,
  store: OwnStore | null,
  begins: boolean,
): { readonly boot: Boot; readonly record: NodeRecord } {
  const mark = store?.mark ?? null;
  if (mark?.state === 'restored' && record.part === 'none')
    return { boot: { kind: 'restored' }, record };
  const isMoved = mark?.state === 'sealed' && mark.token === record.token;
  if (record.part === 'member' || (record.part === 'forming' && isMoved))
    return { boot: { kind: 'member', opens: isMoved }, record: { ...record, part: 'member' } };
  // A node that a master told to leave has nothing to do with what went from it any more.
  const wasTold = record.term > 0;
  if (mark?.state === 'sealed' && !wasTold)
    return { boot: { kind: 'lost', token: mark.token }, record };
  const hasContent = store !== null && isInUse(mark) && !store.isEmpty;
  // A node that was part of a system once begins none, whatever its configuration says.
  const isFresh = begins && !wasTold && record.part === 'none';
  if (hasContent || isFresh) return { boot: { kind: 'alone' }, record };
  const { term } = record;
  return { boot: { kind: 'blank' }, record: { ...NO_PART, term } };
}

/** What a master told a node, in the form of the protocol. */
export interface ToldTask {
  readonly task: MdmTask;
  readonly term: number;
  readonly token: string;
  readonly prefix: string;
  readonly selfKey: number;
  readonly seats: readonly MdmSeat[];
}

export type Judged =
  | { readonly kind: 'refused'; readonly reason: string }
  /** It is so already. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'leaves' }
  | { readonly kind: 'enters'; readonly record: NodeRecord };

/** What a task makes of a node. @param isAlone - it is the only MDM of a system */
export function judgeTask(record: NodeRecord, isAlone: boolean, told: ToldTask): Judged {
  const { task, term, token, prefix, selfKey, seats } = told;
  if (term < record.term)
    return { kind: 'refused', reason: `a master of term ${record.term} was obeyed since` };
  const isPart = record.part !== 'none';
  if (task === 'leave')
    return isPart && record.token === token ? { kind: 'leaves' } : { kind: 'nothing' };
  if (isPart && record.token === token) return { kind: 'nothing' };
  if (isPart) return { kind: 'refused', reason: `it takes part in the store ${record.token}` };
  if (isAlone && task === 'join') return { kind: 'refused', reason: 'it has a system of its own' };
  const part = isAlone ? 'forming' : 'member';
  const entered = { ...NO_PART, part, token, prefix, term, selfKey, seats } as const;
  return { kind: 'enters', record: { ...entered, joins: task === 'join' } };
}

/** A node that takes part in nothing any more. */
export function leftRecord(record: NodeRecord, term: number): NodeRecord {
  return { ...NO_PART, term: Math.max(term, record.term) };
}
