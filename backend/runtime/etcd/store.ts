// The metadata store on etcd, for several MDMs. One of them is master: the one that took the master key last. Every write
// compares the revision of that key and of the head, so a master that was deposed, paused or cut off can change nothing,
// and none of its commits can skip or repeat another. It must never understand a key or a value of the MDM.
//
// A commit that is too large for one transaction is staged piece by piece, then done by one small transaction on the head,
// then applied piece by piece; a new master applies what its predecessor left.

import { randomBytes } from 'node:crypto';

import type {
  Change,
  CommitOutcome,
  Log,
  MasterView,
  MdmPlace,
  SharedStore,
  SharedStoreInputs,
  TakenContent,
  Token,
} from '../../core/ports.js';
import { assert } from '../../core/assert.js';
import { monotonicUs } from '../loop.js';
import type { Loop } from '../loop.js';
import { EtcdClient } from './client.js';
import type { EtcdClientOptions, EtcdEndpoint } from './client.js';
import { applyPiece, isUnchanged, unchanged } from './fence.js';
import { base64, encodePiece, Layout, split } from './layout.js';
import type { Control, Seal } from './layout.js';
import { loadContent } from './load.js';
import { AbandonedError, put, remove, Transactions } from './transactions.js';
import type { Compare, Verdict } from './transactions.js';

/** A commit or a taking is tried for so long before its outcome is called unknown. */
const COMMIT_MS = 5000;
const LOOK_MS = 1500;
const BEAT_MS = 1000;

export interface EtcdStoreOptions extends EtcdClientOptions {
  /** One per system, such as `/meshsan/rack1`. */
  readonly prefix: string;
  readonly secret: Uint8Array;
  readonly log: Log;
}

/** The mastership that this process has, as etcd knows it. */
interface Held {
  readonly term: number;
  readonly nonce: string;
  readonly masterRevision: number;
  headRevision: number;
  beats: number;
  /** Staged commits that were tried. */
  attempts: number;
}

const encoder = (value: unknown): string => base64(JSON.stringify(value));

export class EtcdStore implements SharedStore {
  private readonly client: EtcdClient;
  private readonly layout: Layout;
  private readonly log: Log;
  private readonly views = new WeakMap<MasterView, Control>();
  private loop: Loop | null = null;
  private sink: SharedStoreInputs | null = null;
  private failed: (error: Error) => void = () => undefined;
  private sealed: (seal: Seal) => void = () => undefined;
  private beating: Promise<unknown> = Promise.resolve();
  private held: Held | null = null;
  /** Goes up when what is under way does not count any more. */
  private life = 0;
  private farewell: Promise<void> = Promise.resolve();

  constructor(options: EtcdStoreOptions) {
    this.client = new EtcdClient(options);
    this.layout = new Layout(options.prefix, options.secret);
    this.log = options.log;
  }

  /**
   * Who hears of what came of requests; once, before the first.
   *
   * @param failed - hears when the store must not be used any more
   * @param sealed - hears that the content is elsewhere
   */
  attach(
    loop: Loop,
    sink: SharedStoreInputs,
    failed: (error: Error) => void,
    sealed: (seal: Seal) => void = () => undefined,
  ): void {
    this.sealed = sealed;
    this.loop = loop;
    this.sink = sink;
    this.failed = failed;
  }

  /** Ends all connections, once a farewell went out. */
  async close(): Promise<void> {
    await this.farewell;
    this.life += 1;
    this.client.close();
  }

  look(token: Token): void {
    this.start(
      async (transactions) => transactions.readControl(monotonicUs() + LOOK_MS * 1000),
      (sink, nowUs, control) => {
        const seal = control?.seal ?? null;
        const view = control !== null && isOpen(control) ? this.viewOf(control) : null;
        sink.looked(nowUs, token, view);
        if (seal !== null) this.sealed(seal);
      },
    );
  }

  take(token: Token, seen: MasterView, claim: MdmPlace): void {
    const control = this.views.get(seen);
    assert(control !== undefined, 'what was seen comes from this store');
    this.start(
      async (transactions) => this.takeOver(transactions, control, claim),
      (sink, nowUs, { outcome, content }) => {
        sink.taken(nowUs, token, outcome, content);
      },
    );
  }

  beat(token: Token): void {
    const { held } = this;
    assert(held !== null, 'only a master shows that it lives');
    held.beats += 1;
    const value = encoder({ term: held.term, beat: held.beats });
    this.start(
      (transactions) => {
        const beaten = transactions.transact(
          [['master', held.masterRevision]],
          [put(this.layout.control('beat'), value)],
          isMaster(held),
          BEAT_MS,
        );
        this.beating = beaten;
        return beaten;
      },
      (sink, nowUs, { outcome }) => {
        sink.beaten(nowUs, token, outcome);
      },
    );
  }

  confirm(token: Token): void {
    const { held } = this;
    assert(held !== null, 'only a master is confirmed');
    this.start<CommitOutcome>(
      async (transactions) => {
        const control = await transactions.readControl(monotonicUs() + COMMIT_MS * 1000);
        if (control === null) return 'unknown';
        return control.masterRevision === held.masterRevision ? 'done' : 'conflict';
      },
      (sink, nowUs, outcome) => {
        sink.committed(nowUs, token, outcome);
      },
    );
  }

  commit(token: Token, term: number, previousSequence: number, changes: readonly Change[]): void {
    const { held } = this;
    assert(held !== null && held.term === term, 'only the master of this term commits');
    const pieces = split(changes);
    this.start<CommitOutcome>(
      async (transactions) =>
        pieces.length === 1
          ? this.advance(transactions, held, previousSequence, pieces[0] ?? [], null)
          : this.commitStaged(transactions, held, previousSequence, pieces),
      (sink, nowUs, outcome) => {
        sink.committed(nowUs, token, outcome);
      },
    );
  }

  release(heir: string): void {
    const { held } = this;
    if (held === null) return;
    const operations = [put(this.layout.control('beat'), encoder({ term: held.term, heir }))];
    const compares: Compare[] = [['master', held.masterRevision]];
    const transactions = new Transactions(this.client, this.layout, () => true);
    // A sign of life that is under way would take the offer back.
    this.farewell = this.beating
      .catch(() => undefined)
      .then(() => transactions.transact(compares, operations, isMaster(held), BEAT_MS))
      .then(() => undefined)
      .catch((error: unknown) => {
        this.log.event('warn', 'metadata-store.not-released', { reason: String(error) });
      });
  }

  /** Asks other places from now on; members come and go. */
  reach(endpoints: readonly EtcdEndpoint[]): void {
    this.client.reach(endpoints);
  }

  /** Everything that this master committed; null: it is master no more, or etcd does not answer. */
  async content(): Promise<TakenContent | null> {
    const { held } = this;
    if (held === null) return null;
    const loaded = await loadContent(this.transactions(), this.layout, held.nonce, held.term);
    if (loaded?.headRevision !== held.headRevision) return null;
    return loaded.content;
  }

  /** Ends the use of the prefix: the content that this master committed last is elsewhere. */
  async seal(seal: Seal): Promise<CommitOutcome> {
    const { held, layout } = this;
    if (held === null) return 'conflict';
    const gone = { name: '', host: '', port: 0, term: held.term, nonce: seal.token };
    const { outcome } = await this.transactions().transact(
      unchanged(held),
      [
        put(layout.control('seal'), encoder(seal)),
        // Whoever was about to take the key finds it changed.
        put(layout.control('master'), encoder(gone)),
      ],
      (control) => {
        if (control.seal !== null) return control.seal.token === seal.token ? 'done' : 'conflict';
        return isUnchanged(held)(control);
      },
      COMMIT_MS,
    );
    return outcome;
  }

  abandon(): void {
    this.life += 1;
    this.held = null;
  }

  private transactions(): Transactions {
    const { life } = this;
    return new Transactions(this.client, this.layout, () => this.life === life);
  }

  /** Runs a request and gives its answer to the machine, unless it was abandoned meanwhile. */
  private start<T>(
    run: (transactions: Transactions) => Promise<T>,
    done: (sink: SharedStoreInputs, nowUs: number, answer: T) => void,
  ): void {
    const { life } = this;
    const answered = (answer: T): void => {
      const { loop, sink } = this;
      if (this.life !== life || loop === null || sink === null) return;
      loop.begin();
      done(sink, loop.nowUs, answer);
      loop.end();
    };
    run(this.transactions()).then(answered, (error: unknown) => {
      if (error instanceof AbandonedError || this.life !== life) return;
      this.failed(error instanceof Error ? error : new Error(String(error)));
    });
  }

  private viewOf(control: Control): MasterView {
    const { master, masterRevision, beatRevision, headRevision, heir } = control;
    const view = {
      term: master?.term ?? 0,
      master: master === null ? null : { name: master.name, host: master.host, port: master.port },
      life: `${masterRevision} ${beatRevision} ${headRevision}`,
      heir,
    };
    this.views.set(view, control);
    return view;
  }

  private async takeOver(
    transactions: Transactions,
    seen: Control,
    { name, host, port }: MdmPlace,
  ): Promise<{ readonly outcome: CommitOutcome; readonly content: TakenContent | null }> {
    const { layout } = this;
    // Terms go on where the content came from another store.
    const term = Math.max(seen.master?.term ?? 0, seen.head?.term ?? 0) + 1;
    const nonce = randomBytes(8).toString('hex');
    const operations = [
      put(layout.control('master'), encoder({ name, host, port, term, nonce })),
      put(layout.control('beat'), encoder({ term, beat: 0 })),
    ];
    const compares: Compare[] = [
      ['master', seen.masterRevision],
      ['beat', seen.beatRevision],
      ['head', seen.headRevision],
    ];
    const judge = ({ master, masterRevision, beatRevision, headRevision }: Control): Verdict => {
      if (master?.nonce === nonce) return 'done';
      const isSame =
        masterRevision === seen.masterRevision &&
        beatRevision === seen.beatRevision &&
        headRevision === seen.headRevision;
      return isSame ? 'open' : 'conflict';
    };
    const { outcome } = await transactions.transact(compares, operations, judge, COMMIT_MS);
    if (outcome !== 'done') return { outcome, content: null };
    const loaded = await loadContent(transactions, layout, nonce, term);
    if (loaded === null) return { outcome: 'unknown', content: null };
    const { masterRevision, headRevision, content } = loaded;
    this.held = { term, nonce, masterRevision, headRevision, beats: loaded.beats, attempts: 0 };
    return { outcome, content };
  }

  /** The commit itself: everything in one transaction, the head among it, which may name a staged commit. */
  private async advance(
    transactions: Transactions,
    held: Held,
    previousSequence: number,
    changes: readonly Change[],
    staged: string | null,
  ): Promise<CommitOutcome> {
    const { layout } = this;
    const sequence = previousSequence + 1;
    const operations = [
      ...changes.map(({ key, value }) =>
        value === null ? remove(layout.data(key)) : put(layout.data(key), base64(value)),
      ),
      put(layout.control('head'), layout.encodeHead(held.term, sequence, staged)),
    ];
    const judge = ({ head, masterRevision, headRevision }: Control): Verdict => {
      if (masterRevision !== held.masterRevision) return 'conflict';
      if (headRevision === held.headRevision) return 'open';
      // Nobody but this master writes this sequence in this term.
      return head?.term === held.term && head.sequence === sequence ? 'done' : 'conflict';
    };
    const { outcome, revision, control } = await transactions.transact(
      [
        ['master', held.masterRevision],
        ['head', held.headRevision],
      ],
      operations,
      judge,
      COMMIT_MS,
    );
    if (outcome === 'done') held.headRevision = control?.headRevision ?? revision;
    return outcome;
  }

  private async commitStaged(
    transactions: Transactions,
    held: Held,
    previousSequence: number,
    pieces: readonly Change[][],
  ): Promise<CommitOutcome> {
    const { layout } = this;
    held.attempts += 1;
    const name = `${held.term}-${previousSequence + 1}-${held.attempts}`;
    for (const [index, piece] of pieces.entries()) {
      const key = layout.staged(name, index);
      const { outcome } = await transactions.transact(
        unchanged(held),
        [put(key, base64(encodePiece(piece)))],
        isUnchanged(held),
        COMMIT_MS,
      );
      if (outcome === 'done') continue;
      // Pieces of a commit that does not come about are room that nothing else gives back.
      if (outcome === 'full') await this.dropStaged(transactions, held);
      return outcome;
    }
    const outcome = await this.advance(transactions, held, previousSequence, [], name);
    if (outcome === 'full') await this.dropStaged(transactions, held);
    if (outcome !== 'done') return outcome;
    // From here on the commit is done, whatever happens; who comes next applies what is left of it.
    for (const [index, piece] of pieces.entries()) {
      const key = layout.staged(name, index);
      const applied = await applyPiece(transactions, layout, held, piece, key);
      if (applied !== 'done') return 'unknown';
    }
    return 'done';
  }

  private async dropStaged(transactions: Transactions, held: Held): Promise<void> {
    const { key, range_end } = this.layout.range('staged');
    await transactions.transact(
      unchanged(held),
      [remove(key, range_end)],
      isUnchanged(held),
      COMMIT_MS,
    );
  }
}

/** Of transactions that may be done twice by the same master. */
function isMaster({ masterRevision }: Held): (control: Control) => Verdict {
  return (control) => (control.masterRevision === masterRevision ? 'open' : 'conflict');
}

/** Before there is a head, or once the content is elsewhere, nobody is to be master. */
function isOpen({ head, seal }: Control): boolean {
  return head !== null && seal === null;
}
