// The whole content of a system into a prefix of etcd where none is. It is complete and compared before anybody can use it:
// while there is no head, no MDM takes the master key. It must never touch a prefix that has a head, or that holds anything
// which it did not put there.

import type { Change, TakenContent } from '../../core/ports.js';
import { monotonicUs } from '../loop.js';
import { EtcdClient, objectOf } from './client.js';
import type { EtcdClientOptions } from './client.js';
import { base64, ForeignPrefixError, keyValuesOf, Layout, split } from './layout.js';
import type { Control, KeyValue } from './layout.js';
import { put, remove, Transactions } from './transactions.js';
import type { Verdict } from './transactions.js';

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

/** Of writes that may be done twice while nobody opened the prefix. */
const whileClosed = ({ head }: Control): Verdict => (head === null ? 'open' : 'conflict');

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
    await this.write([mark(false)]);
    await this.write([remove(key, range_end)]);
    const changes: Change[] = entries.map((entry) => ({ key: entry.key, value: entry.value }));
    for (const piece of split(changes))
      await this.write(
        piece.map((change) =>
          put(layout.data(change.key), base64(change.value ?? new Uint8Array(0))),
        ),
      );
    this.compare(entries, await this.data());
    await this.write([mark(true)]);
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
    const { transfer } = control;
    if (transfer?.token !== token || !transfer.complete)
      throw new TransferError(
        `the prefix ${layout.prefix} in etcd has no complete content of ${token}`,
      );
    await this.write(
      [
        put(layout.control('head'), layout.encodeHead(transfer.term, transfer.sequence)),
        remove(layout.control('transfer')),
      ],
      'done',
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

  /** @param opened - what a head that is there means */
  private async write(
    operations: Parameters<Transactions['transact']>[1],
    opened: Verdict = 'conflict',
  ): Promise<void> {
    const { outcome } = await this.transactions.transact(
      [['head', 0]],
      operations,
      (control) => (control.head === null ? whileClosed(control) : opened),
      WRITE_MS,
    );
    if (outcome === 'done') return;
    const reasons = {
      conflict: 'somebody else uses the prefix',
      full: 'the metadata store is full (etcd alarm NOSPACE)',
      unknown: 'etcd does not answer',
    };
    throw new TransferError(reasons[outcome]);
  }
}
