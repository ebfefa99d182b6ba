// Backups that are being read: everything that the store holds as of one commit, kept while it is read part by part. It must
// never hold more than a few, nor for long.

import type { Micros } from '../core/ports.js';
import { LIMIT } from '../protocol/generated/constants.js';
import type { StoredPair } from '../protocol/generated/types.js';
import type { StoredEntry } from './options.js';
import { refuse } from './refusal.js';
import type { State } from './state.js';

const KEPT_MAX = 4;
const KEPT_US = 120_000_000;
/** Of a part: a frame takes 1 MiB. */
const PART_BYTES_MAX = 512 * 1024;
const PAIR_BYTES = 8;

interface Backup {
  readonly entries: readonly StoredEntry[];
  readonly term: number;
  usedUs: Micros;
}

export interface BackupPart {
  readonly term: number;
  readonly sequence: number;
  readonly total: number;
  readonly pairs: readonly StoredPair[];
}

export class Backups {
  private readonly bySequence = new Map<number, Backup>();

  /**
   * A part of a backup. Called as work, so the state is what was committed.
   *
   * @param wanted - sequence that the first part named; 0: a new backup of the commit `present`
   * @param from - pairs that were read
   * @throws Refusal BACKUP_GONE
   */
  part(
    nowUs: Micros,
    state: State,
    present: { readonly term: number; readonly sequence: number },
    wanted: number,
    from: number,
  ): BackupPart {
    for (const [sequence, { usedUs }] of this.bySequence)
      if (nowUs - usedUs > KEPT_US) this.bySequence.delete(sequence);
    const sequence = wanted === 0 ? present.sequence : wanted;
    if (wanted === 0 && !this.bySequence.has(sequence)) {
      const [oldest] = this.bySequence.keys();
      if (this.bySequence.size >= KEPT_MAX && oldest !== undefined) this.bySequence.delete(oldest);
      this.bySequence.set(sequence, { entries: state.all(), term: present.term, usedUs: nowUs });
    }
    const backup = this.bySequence.get(sequence);
    if (backup === undefined) refuse('BACKUP_GONE');
    backup.usedUs = nowUs;
    const { entries, term } = backup;
    const pairs: StoredPair[] = [];
    let bytes = 0;
    for (const { key, value } of entries.slice(from, from + LIMIT.backupPairsMax)) {
      bytes += key.length + value.length + PAIR_BYTES;
      if (pairs.length > 0 && bytes > PART_BYTES_MAX) break;
      pairs.push({ key, value });
    }
    return { term, sequence, total: entries.length, pairs };
  }
}
