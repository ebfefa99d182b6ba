// The metadata store on real etcd members: who is master, what becomes of lost answers, of commits larger than a
// transaction, of a store without room.

import test from 'ava';

import type {
  Change,
  CommitOutcome,
  MasterView,
  SharedStoreInputs,
  TakenContent,
} from '../../backend/core/ports.js';
import { Loop } from '../../backend/runtime/loop.js';
import { encodePiece, ForeignPrefixError } from '../../backend/runtime/etcd/layout.js';
import type { Seal } from '../../backend/runtime/etcd/layout.js';
import { EtcdStore } from '../../backend/runtime/etcd/store.js';
import type { EtcdStoreOptions } from '../../backend/runtime/etcd/store.js';
import { Transfer, TransferError } from '../../backend/runtime/etcd/transfer.js';
import { EtcdCluster } from '../support/etcd-cluster.js';
import { LossyProxy } from '../support/lossy-proxy.js';
import { until } from '../support/until.js';

const QUIET = { event: (): void => undefined };
const PLACE = { name: 'a', host: '127.0.0.1', port: 6611 };

/** A store as promises. */
class Bench implements SharedStoreInputs {
  readonly store: EtcdStore;
  term = 0;
  sequence = 0;
  failure: Error | null = null;
  readonly seals: Seal[] = [];
  private readonly loop = new Loop();
  private token = 0;
  private readonly waiting = new Map<string, (answer: never) => void>();

  private readonly options: EtcdStoreOptions;

  constructor(options: EtcdStoreOptions) {
    this.options = options;
    this.store = new EtcdStore(options);
    this.store.attach(
      this.loop,
      this,
      (error) => {
        this.failure = error;
      },
      (seal) => {
        this.seals.push(seal);
      },
    );
  }

  async look(): Promise<MasterView | null> {
    return this.ask('looked', (token) => {
      this.store.look(token);
    });
  }

  async take(seen: MasterView, name = 'a'): Promise<[CommitOutcome, TakenContent | null]> {
    const taken = await this.ask<[CommitOutcome, TakenContent | null]>('taken', (token) => {
      this.store.take(token, seen, { ...PLACE, name });
    });
    this.term = taken[1]?.term ?? 0;
    this.sequence = taken[1]?.sequence ?? 0;
    return taken;
  }

  /** Puts a content there, and lets everybody use it. */
  async begin(content: TakenContent, token = 'first'): Promise<void> {
    const transfer = new Transfer(this.options);
    await transfer.fill(token, content);
    await transfer.open(token);
    transfer.close();
  }

  transfer(): Transfer {
    return new Transfer(this.options);
  }

  /** Becomes master whatever others say of themselves. */
  async usurp(name = 'a'): Promise<TakenContent> {
    let view = await this.look();
    if (view === null) {
      // Nobody is to be master before the content of a system is there.
      await this.begin({ term: 0, sequence: 0, entries: [] });
      view = await this.look();
    }
    if (view === null) throw new Error('etcd does not answer');
    const [outcome, content] = await this.take(view, name);
    if (content === null) throw new Error(`not taken: ${outcome}`);
    return content;
  }

  async commit(changes: readonly Change[]): Promise<CommitOutcome> {
    const outcome = await this.ask<CommitOutcome>('committed', (token) => {
      this.store.commit(token, this.term, this.sequence, changes);
    });
    if (outcome === 'done') this.sequence += 1;
    return outcome;
  }

  async confirm(): Promise<CommitOutcome> {
    return this.ask('committed', (token) => {
      this.store.confirm(token);
    });
  }

  async beat(): Promise<CommitOutcome> {
    return this.ask('beaten', (token) => {
      this.store.beat(token);
    });
  }

  looked(_: number, token: number, view: MasterView | null): void {
    this.settle('looked', token, view);
  }

  taken(_: number, token: number, outcome: CommitOutcome, content: TakenContent | null): void {
    this.settle('taken', token, [outcome, content]);
  }

  beaten(_: number, token: number, outcome: CommitOutcome): void {
    this.settle('beaten', token, outcome);
  }

  committed(_: number, token: number, outcome: CommitOutcome): void {
    this.settle('committed', token, outcome);
  }

  private ask<T>(kind: string, run: (token: number) => void): Promise<T> {
    const token = ++this.token;
    return new Promise<T>((done) => {
      this.waiting.set(`${kind} ${token}`, done);
      run(token);
    });
  }

  private settle(kind: string, token: number, answer: unknown): void {
    this.waiting.get(`${kind} ${token}`)?.(answer as never);
  }
}

const change = (name: string, value: string | null): Change => ({
  key: Buffer.from(name),
  value: value === null ? null : Buffer.from(value),
});

function textOf({ entries }: TakenContent): Record<string, string> {
  return Object.fromEntries(
    entries.map(({ key, value }) => [
      Buffer.from(key).toString(),
      Buffer.from(value).toString().slice(0, 24),
    ]),
  );
}

let cluster: EtcdCluster;
const benches: Bench[] = [];

function bench(prefix: string, changes: Partial<EtcdStoreOptions> = {}): Bench {
  const { endpoints, tls, secret } = cluster;
  const made = new Bench({ endpoints, tls, secret, log: QUIET, prefix, ...changes });
  benches.push(made);
  return made;
}

test.before(async () => {
  cluster = new EtcdCluster(['127.0.91.1']);
  await cluster.start();
});

test.after.always(async () => {
  for (const { store } of benches) await store.close();
  await cluster.cleanUp();
});

test('a master that was replaced can neither commit nor confirm nor show life', async (t) => {
  const old = bench('/test/replaced');
  t.deepEqual(textOf(await old.usurp()), {});
  t.is(await old.commit([change('k1', 'one'), change('k2', 'two')]), 'done');
  t.is(await old.commit([change('k1', null), change('k3', 'three')]), 'done');
  t.is(await old.confirm(), 'done');
  t.is(await old.beat(), 'done');
  const next = bench('/test/replaced');
  const content = await next.usurp('b');
  t.is(content.term, 2);
  t.is(content.sequence, 2);
  t.deepEqual(textOf(content), { k2: 'two', k3: 'three' });
  t.is(await old.commit([change('k2', 'late')]), 'conflict');
  t.is(await old.confirm(), 'conflict');
  t.is(await old.beat(), 'conflict');
  t.is(await next.commit([change('k4', 'four')]), 'done');
  t.deepEqual(textOf(await bench('/test/replaced').usurp('c')), {
    ...{ k2: 'two', k3: 'three', k4: 'four' },
  });
});

test('the key is not taken from a master that showed life meanwhile', async (t) => {
  const master = bench('/test/life');
  await master.usurp();
  const standby = bench('/test/life');
  const seen = await standby.look();
  t.is(seen?.master?.name, 'a');
  t.is(await master.beat(), 'done');
  if (seen === null) throw new Error('etcd answers');
  t.deepEqual(await standby.take(seen, 'b'), ['conflict', null]);
  const again = await standby.look();
  if (again === null) throw new Error('etcd answers');
  t.is(await master.commit([change('k', 'v')]), 'done');
  t.deepEqual(await standby.take(again, 'b'), ['conflict', null]);
  t.is(await master.confirm(), 'done');
});

test('a master that gives the key up names who may take it at once', async (t) => {
  const master = bench('/test/heir');
  await master.usurp();
  t.is((await bench('/test/heir').look())?.heir, null);
  master.store.release('b');
  await master.store.close();
  t.is((await bench('/test/heir').look())?.heir, 'b');
});

test('commits whose answers get lost are done once, and reported as done', async (t) => {
  const [endpoint] = cluster.endpoints;
  if (endpoint === undefined) throw new Error('a member');
  const proxy = await LossyProxy.start(endpoint.port, endpoint.host);
  const master = bench('/test/lost', { endpoints: [{ host: '127.0.0.1', port: proxy.port }] });
  await master.usurp();
  const expected: Record<string, string> = {};
  for (let number = 1; number <= 20; number++) {
    proxy.losing = number % 4;
    const value = `value ${number}`;
    t.is(await master.commit([change(`k${number % 7}`, value)]), 'done');
    expected[`k${number % 7}`] = value;
  }
  t.true(proxy.lost >= 8, `${proxy.lost} answers lost`);
  proxy.losing = 0;
  const content = await bench('/test/lost').usurp('b');
  t.is(content.sequence, 20);
  t.deepEqual(textOf(content), expected);
  await proxy.stop();
});

test('a commit larger than a transaction is done whole or not at all, wherever its master ends', async (t) => {
  const prefix = '/test/large';
  const keys = Array.from({ length: 400 }, (_, index) => `key ${String(index).padStart(4, '0')}`);
  const large = (text: string): Change[] => keys.map((key) => change(key, text.padEnd(6000, '.')));
  let whole = 0;
  let none = 0;
  let before = '';
  for (let round = 0; round < 14; round++) {
    const master = bench(prefix);
    const content = await master.usurp(`m${round}`);
    const values = new Set(
      Object.values(textOf(content)).map((value) => value.replace(/\.+$/, '')),
    );
    t.true(values.size <= 1, `round ${round}: ${[...values].join(' and ')}`);
    const [value = ''] = values;
    t.is(content.entries.length, value === '' ? 0 : keys.length);
    if (round > 0) {
      if (value === before) none += 1;
      else whole += 1;
      t.true(value === before || value === `round ${round - 1}`);
    }
    before = value;
    if (round === 13) break;
    const outcome = master.commit(large(`round ${round}`));
    if (round % 3 === 0) t.is(await outcome, 'done');
    else {
      await new Promise((done) => setTimeout(done, 15 * round));
      master.store.abandon();
    }
  }
  t.true(whole >= 5, `${whole} whole, ${none} none`);
});

test('pieces that are left of a commit that never was are not taken for part of a later one', async (t) => {
  const prefix = '/test/leftover';
  const master = bench(prefix);
  await master.usurp();
  const client = cluster.client();
  const value = encodePiece([change('k', 'never')]).toString('base64');
  for (const name of ['1-1', '1-1-7', '1-2-1']) {
    const key = Buffer.from(`${prefix}/staged/${name}/0`).toString('base64');
    await client.ask('kv/put', { key, value }, 2000);
  }
  client.close();
  t.is(await master.commit([change('x', 'one')]), 'done');
  t.deepEqual(textOf(await bench(prefix).usurp('b')), { x: 'one' });
});

test('a prefix of another system or of something else is refused', async (t) => {
  await bench('/test/claimed').usurp();
  const other = bench('/test/claimed', { secret: new Uint8Array(32).fill(1) });
  await t.throwsAsync(other.begin({ term: 1, sequence: 1, entries: [] }), {
    instanceOf: ForeignPrefixError,
    message: /\/test\/claimed in etcd belongs to another system/,
  });
  other.store.look(1);
  await until('the store says that it must not be used', () => other.failure);
  t.true(other.failure instanceof ForeignPrefixError);
  await t.throwsAsync(bench('/test/claimed').begin({ term: 1, sequence: 1, entries: [] }), {
    message: /holds the metadata of a system already/,
  });
  const client = cluster.client();
  const put = (name: string): Promise<unknown> => {
    const key = Buffer.from(name).toString('base64');
    return client.ask('kv/put', { key, value: Buffer.from('hello').toString('base64') }, 2000);
  };
  await put('/test/strange/control/head');
  await t.throwsAsync(bench('/test/strange').transfer().check('t'), { message: /cannot be read/ });
  await put('/test/keys/data/k');
  await t.throwsAsync(bench('/test/keys').transfer().check('t'), {
    message: /\/test\/keys in etcd holds keys that MeshSAN did not write/,
  });
  client.close();
});

test('content that is put into a prefix can be used when it is complete and opened, not before', async (t) => {
  const prefix = '/test/moved';
  const entries = Array.from({ length: 350 }, (_, index) => ({
    key: Uint8Array.from(Buffer.from(`key ${index}`)),
    value: Uint8Array.from(Buffer.from(`value ${index}`.padEnd(3000, '.'))),
  }));
  const standby = bench(prefix);
  const transfer = standby.transfer();
  await transfer.fill('one', { term: 7, sequence: 40, entries: entries.slice(0, 200) });
  t.is(await standby.look(), null);
  await t.throwsAsync(transfer.check('two'), { message: /being filled for another change/ });
  await t.throwsAsync(transfer.open('two'), { instanceOf: TransferError });
  // The same move once more, by a process that goes on where one was killed.
  const again = bench(prefix).transfer();
  await again.fill('one', { term: 8, sequence: 41, entries });
  t.is(await standby.look(), null);
  await again.open('one');
  await transfer.open('one');
  const content = await standby.usurp();
  t.is(content.sequence, 41);
  t.is(content.entries.length, 350);
  t.deepEqual(textOf(content)['key 349'], 'value 349...............');
  transfer.close();
  again.close();
});

test('of two processes that make the same move at once one goes on, and its content is whole', async (t) => {
  const prefix = '/test/twice';
  const contentOf = (text: string, count: number): TakenContent => ({
    ...{ term: 3, sequence: count },
    entries: Array.from({ length: count }, (_, index) => ({
      key: Uint8Array.from(Buffer.from(`${text} ${index}`)),
      value: Uint8Array.from(Buffer.from(text.padEnd(3000, '.'))),
    })),
  });
  const contents = [contentOf('one', 900), contentOf('other', 700)];
  const transfers = contents.map(() => bench(prefix).transfer());
  const filled = await Promise.allSettled(
    contents.map(async (content, index) => transfers[index]?.fill('move', content)),
  );
  for (const transfer of transfers) transfer.close();
  t.deepEqual(filled.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  const opener = bench(prefix).transfer();
  await opener.open('move');
  opener.close();
  const winner = filled.findIndex(({ status }) => status === 'fulfilled');
  const content = await bench(prefix).usurp();
  const expected = contents[winner] ?? contentOf('none', 0);
  t.is(content.sequence, expected.sequence);
  t.deepEqual(textOf(content), textOf(expected));
});

test('a sealed prefix takes nothing any more, and the seal takes a mastership that is still its own', async (t) => {
  const prefix = '/test/sealed';
  const old = bench(prefix);
  await old.usurp();
  t.is(await old.commit([change('k', 'v')]), 'done');
  const standby = bench(prefix);
  const seen = await standby.look();
  if (seen === null) throw new Error('etcd answers');
  const master = bench(prefix);
  await master.usurp('b');
  t.is(await old.store.seal({ token: 'x', to: 1 }), 'conflict', 'of a master that was replaced');
  t.is(await master.commit([change('k', 'w')]), 'done');
  const content = await master.store.content();
  t.deepEqual(content === null ? null : textOf(content), { k: 'w' });
  t.is(await master.store.seal({ token: 'home', to: 2 }), 'done');
  t.is(await master.store.seal({ token: 'home', to: 2 }), 'done');
  t.is(await master.store.seal({ token: 'other', to: 3 }), 'conflict');
  t.is(await master.commit([change('k', 'x')]), 'conflict');
  t.is(await master.beat(), 'conflict');
  t.is(await standby.look(), null);
  t.deepEqual(standby.seals, [{ token: 'home', to: 2 }]);
  t.deepEqual(await standby.take(seen), ['conflict', null]);
});

test('a store without room refuses changes and leaves everything as it was', async (t) => {
  const small = new EtcdCluster(['127.0.91.2'], 1_500_000);
  t.teardown(async () => {
    await small.cleanUp();
  });
  await small.start();
  const client = small.client();
  const { endpoints, tls } = small;
  const master = bench('/test/full', { endpoints, tls });
  await master.usurp();
  t.is(await master.commit([change('k', 'before')]), 'done');
  const junk = Buffer.alloc(200_000, 'x').toString('base64');
  let error = '';
  for (let number = 0; error === ''; number++) {
    const key = Buffer.from(`/junk/${number}`).toString('base64');
    await client.ask('kv/put', { key, value: junk }, 5000).catch((reason: unknown) => {
      error = String(reason);
    });
  }
  t.regex(error, /space exceeded/);
  t.is(await master.beat(), 'full');
  t.is(await master.commit([change('k', 'after')]), 'full');
  const many = Array.from({ length: 250 }, (_, index) => change(`m${index}`, 'x'.repeat(5000)));
  t.is(await master.commit(many), 'full');
  t.is(await master.confirm(), 'done');
  const standby = bench('/test/full', { endpoints, tls });
  const view = await standby.look();
  if (view === null) throw new Error('etcd answers');
  t.deepEqual(await standby.take(view), ['full', null]);
  const range = { key: Buffer.from('/junk/').toString('base64') };
  const end = Buffer.from('/junk0').toString('base64');
  const { header } = await client.ask('kv/deleterange', { ...range, range_end: end }, 5000);
  const { revision, member_id: memberId } = header as Record<string, string>;
  await client.ask('kv/compaction', { revision, physical: true }, 5000);
  await client.ask('maintenance/defragment', {}, 5000);
  await client.ask(
    'maintenance/alarm',
    { action: 'DEACTIVATE', memberID: memberId, alarm: 'NOSPACE' },
    5000,
  );
  t.is(await master.commit([change('k2', 'later')]), 'done');
  t.deepEqual(textOf(await bench('/test/full', { endpoints, tls }).usurp('b')), {
    ...{ k: 'before', k2: 'later' },
  });
  client.close();
});
