// The whole content of a system into a prefix of etcd where none is. It is complete and compared before anybody can use it:
// while there is no head, no MDM takes the master key. It must never touch a prefix that has a head, or that holds anything
// which it did not put there.

import type { Change, TakenContent } from '../../core/ports.js';
import { monotonicUs } from '../loop.js';
import { EtcdClient, objectOf } from './client.js';
import type { EtcdClientOptions, Json } from './client.js';
import { base64, ForeignPrefixError, keyValuesOf, Layout, split } from './layout.js';
import type { Control, KeyValue } from './layout.js';
import { put, remove, Transactions } from './transactions.js';
import type { Compare, Verdict } from './transactions.js';

const PAGE_KEYS = 200;
const READ_MS = 5000;
const WRITE_MS = 10_000;

/** It did not come about; nobody can use what is there. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}

export interface TransferOptions extends EtcdClientOptions {
  readonly prefix: string;
  readonly secret: Uint8Array;
}

/**
 * What a write compares. A write whose answer got lost may be done later still, so each compares the mark of this very
 * attempt: what an earlier one left under way can take nothing away from content that was compared already.
 */
const fence = (markRevision: number): Compare[] => [
  ['head', 0],
  ['transfer', markRevision],
];

/** Of writes that may be done twice while nobody opened the prefix or began anew to fill it. */
const whileMarked =
  (markRevision: number) =>
  ({ head, transferRevision }: Control): Verdict =>
    head === null && transferRevision === markRevision ? 'open' : 'conflict';

export class Transfer {
  private readonly client: EtcdClient;
  private readonly transactions: Transactions;
  private readonly layout: Layout;

  constructor(options: TransferOptions) {
    this.client = new EtcdClient(options);
    this.layout = new Layout(options.prefix, options.secret);
    this.transactions = new Transactions(this.client, this.layout, () => true);
  }

  close(): void {
    this.client.close();
  }

  /**
   * Whether the prefix is free for this transfer.
   *
   * @throws ForeignPrefixError, TransferError
   */
  async check(token: string): Promise<void> {
    const { prefix } = this.layout;
    const { head, transfer } = await this.control();
    if (head !== null)
      throw new ForeignPrefixError(
        `the prefix ${prefix} in etcd holds the metadata of a system already. Each system needs a prefix of its own`,
      );
    if (transfer !== null && transfer.token !== token)
      throw new ForeignPrefixError(
        `the prefix ${prefix} in etcd is being filled for another change of an MDM cluster (${transfer.token})`,
      );
    if (transfer === null && (await this.data()).length > 0)
      throw new ForeignPrefixError(
        `the prefix ${prefix} in etcd holds keys that MeshSAN did not write. Each system needs a prefix of its own`,
      );
  }

  /**
   * Puts the content there, complete or not at all. What an earlier attempt of the same transfer left is replaced.
   *
   * @throws ForeignPrefixError, TransferError
   */
  async fill(token: string, { term, sequence, entries }: TakenContent): Promise<void> {
    await this.check(token);
    const { layout } = this;
    const mark = (complete: boolean): ReturnType<typeof put> =>
      put(layout.control('transfer'), layout.encodeTransfer({ token, complete, term, sequence }));
    const { key, range_end } = layout.range('data');
    const markRevision = await this.write(
      [['head', 0]],
      [mark(false), remove(key, range_end)],
      ({ head }) => (head === null ? 'open' : 'conflict'),
    );
    const marked = whileMarked(markRevision);
    const changes: Change[] = entries.map((entry) => ({ key: entry.key, value: entry.value }));
    for (const piece of split(changes))
      await this.write(
        fence(markRevision),
        piece.map((change) =>
          put(layout.data(change.key), base64(change.value ?? new Uint8Array(0))),
        ),
        marked,
      );
    this.compare(entries, await this.data());
    await this.write(fence(markRevision), [mark(true)], (control) => {
      const { head, transfer } = control;
      const isOurs = transfer?.token === token && transfer.complete;
      const isSame = transfer?.term === term && transfer.sequence === sequence;
      return head === null && isOurs && isSame ? 'done' : marked(control);
    });
  }

  /**
   * Lets MDMs use what was put there. Done twice it is done once.
   *
   * @throws ForeignPrefixError, TransferError when there is nothing that could be opened
   */
  async open(token: string): Promise<void> {
    const { layout } = this;
    const control = await this.control();
    if (control.head !== null) return;
    const { transfer, transferRevision } = control;
    if (transfer?.token !== token || !transfer.complete)
      throw new TransferError(
        `the prefix ${layout.prefix} in etcd has no complete content of ${token}`,
      );
    await this.write(
      fence(transferRevision),
      [
        put(layout.control('head'), layout.encodeHead(transfer.term, transfer.sequence, null)),
        remove(layout.control('transfer')),
      ],
      (found) => (found.head === null ? whileMarked(transferRevision)(found) : 'done'),
    );
  }

  private compare(entries: TakenContent['entries'], found: readonly KeyValue[]): void {
    const { layout } = this;
    const byKey = new Map(
      found.map(({ key, value }) => [layout.dataKey(key).toString('latin1'), value]),
    );
    const isSame = entries.every(({ key, value }) =>
      byKey.get(Buffer.from(key).toString('latin1'))?.equals(value),
    );
    if (!isSame || byKey.size !== entries.length)
      throw new TransferError(
        'etcd does not hold what was written: something else writes to the prefix',
      );
  }

  private async control(): Promise<Control> {
    const control = await this.transactions.readControl(monotonicUs() + READ_MS * 1000);
    if (control === null) throw new TransferError('etcd does not answer');
    return control;
  }

  private async data(): Promise<KeyValue[]> {
    const { key, range_end } = this.layout.range('data');
    const found: KeyValue[] = [];
    for (let from = key; ;) {
      const range = { key: from, range_end, limit: String(PAGE_KEYS) };
      const answer = await this.transactions.read(range, monotonicUs() + READ_MS * 1000);
      if (answer === null) throw new TransferError('etcd does not answer');
      const page = keyValuesOf(objectOf(answer));
      found.push(...page);
      const last = page.at(-1);
      if (answer['more'] !== true || last === undefined) return found;
      from = base64(Buffer.concat([last.key, Buffer.from([0])]));
    }
  }

  /** @returns the revision of what was written, 0 where it was found to be done. @throws TransferError */
  private async write(
    compares: readonly Compare[],
    operations: readonly Json[],
    judge: (control: Control) => Verdict,
  ): Promise<number> {
    const { outcome, revision } = await this.transactions.transact(
      compares,
      operations,
      judge,
      WRITE_MS,
    );
    if (outcome === 'done') return revision;
    const reasons = {
      conflict: 'somebody else uses the prefix',
      full: 'the metadata store is full (etcd alarm NOSPACE)',
      unknown: 'etcd does not answer',
    };
    throw new TransferError(reasons[outcome]);
  }
}
