// What a new master reads before it begins: pieces of its predecessor's last commit that are still to be applied, then
// everything. It shows signs of life meanwhile, so that a large system can be taken over too. It must never change what was
// committed.

import type { TakenContent } from '../../core/ports.js';
import { monotonicUs } from '../loop.js';
import { objectOf } from './client.js';
import { applyPiece } from './fence.js';
import { base64, decodePiece, keyValuesOf } from './layout.js';
import type { Control, KeyValue, Layout } from './layout.js';
import { put, remove } from './transactions.js';
import type { Transactions } from './transactions.js';

const PAGE_KEYS = 200;
const READ_MS = 5000;
const BEAT_EVERY_US = 250_000;
const WRITE_MS = 5000;

interface Loaded {
  readonly masterRevision: number;
  readonly headRevision: number;
  readonly beats: number;
  readonly content: TakenContent;
}

class Loader {
  private readonly transactions: Transactions;
  private readonly layout: Layout;
  private readonly control: Control;
  private readonly term: number;
  beats = 0;
  private beatUs = monotonicUs();

  constructor(transactions: Transactions, layout: Layout, control: Control, term: number) {
    this.transactions = transactions;
    this.layout = layout;
    this.control = control;
    this.term = term;
  }

  /** All keys of a kind, page by page, in order; null: no answer, or somebody else is master. */
  async all(kind: 'data' | 'staged'): Promise<KeyValue[] | null> {
    const { key, range_end } = this.layout.range(kind);
    const found: KeyValue[] = [];
    let from = key;
    for (;;) {
      const range = { key: from, range_end, limit: String(PAGE_KEYS) };
      const answer = await this.transactions.read(range, monotonicUs() + READ_MS * 1000);
      if (answer === null || !(await this.beat())) return null;
      const page = keyValuesOf(objectOf(answer));
      found.push(...page);
      const last = page.at(-1);
      if (answer['more'] !== true || last === undefined) return found;
      from = base64(Buffer.concat([last.key, Buffer.from([0])]));
    }
  }

  /** Applies the pieces of the commit that the head names, and removes those of commits that never were. */
  async settleStaged(): Promise<boolean> {
    const staged = await this.all('staged');
    if (staged === null) return false;
    if (staged.length === 0) return true;
    const { head, masterRevision, headRevision } = this.control;
    const fence = { masterRevision, headRevision };
    for (const { key, value } of staged) {
      if (this.layout.stagedOf(key) !== head?.staged) continue;
      const applied = await applyPiece(
        this.transactions,
        this.layout,
        fence,
        decodePiece(value),
        base64(key),
      );
      if (applied !== 'done' || !(await this.beat())) return false;
    }
    const { key, range_end } = this.layout.range('staged');
    return this.write([remove(key, range_end)]);
  }

  private async beat(): Promise<boolean> {
    if (monotonicUs() < this.beatUs + BEAT_EVERY_US) return true;
    this.beats += 1;
    const value = base64(JSON.stringify({ term: this.term, beat: this.beats }));
    const beaten = await this.write([put(this.layout.control('beat'), value)]);
    this.beatUs = monotonicUs();
    return beaten;
  }

  private async write(operations: Parameters<Transactions['transact']>[1]): Promise<boolean> {
    const { masterRevision } = this.control;
    const { outcome } = await this.transactions.transact(
      [['master', masterRevision]],
      operations,
      (control) => (control.masterRevision === masterRevision ? 'open' : 'conflict'),
      WRITE_MS,
    );
    return outcome === 'done';
  }
}

/**
 * Reads the content under the master key that this attempt took; null: the key is somebody else's by now, or etcd does not
 * answer.
 *
 * @throws AbandonedError, ForeignPrefixError, EtcdError when a staged piece cannot be read
 */
export async function loadContent(
  transactions: Transactions,
  layout: Layout,
  nonce: string,
  term: number,
): Promise<Loaded | null> {
  const control = await transactions.readControl(monotonicUs() + READ_MS * 1000);
  if (control?.master?.nonce !== nonce || control.head === null) return null;
  const loader = new Loader(transactions, layout, control, term);
  if (!(await loader.settleStaged())) return null;
  const data = await loader.all('data');
  if (data === null) return null;
  const { masterRevision, headRevision, head } = control;
  const entries = data.map(({ key, value }) => ({
    key: Uint8Array.from(layout.dataKey(key)),
    value: Uint8Array.from(value),
  }));
  const content = { term, sequence: head.sequence, entries };
  return { masterRevision, headRevision, beats: loader.beats, content };
}
