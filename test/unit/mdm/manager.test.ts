// Who is master, on a store made of variables that answers when the test says so.

import test from 'ava';

import type {
  Change,
  CommitOutcome,
  MasterView,
  MdmPlace,
  Peer,
  SharedStore,
  Token,
} from '../../../backend/core/ports.js';
import { Manager } from '../../../backend/mdm/manager.js';
import { MDM_DEFAULTS } from '../../../backend/mdm/options.js';
import { decodeControl, encodeCommand, encodeControl } from '../../support/newest.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import { MemoryStore, TestLinks } from './doubles.js';

const PLACE = { name: 'a', host: '10.0.0.1', port: 6611 };
const OTHER = { name: 'b', host: '10.0.0.2', port: 6611 };
const TIMES = { beatMs: 250, silenceMs: 1000, giveUpMs: 1600 };
const INITIAL = {
  ...{ systemName: 'test', idPrefix: 0x11223344, installId: '0123456789abcdef' },
  admin: { name: 'admin', salt: new Uint8Array(16), hash: new Uint8Array(64) },
};
const ADMIN: Peer = {
  ...{ role: 'admin', key: 0, incarnation: 1, run: 0, link: 0, linkEpoch: 1 },
  ...{ version: 2, features: 0 },
};

/** One manager and its store; `answers` off: the store says nothing. */
class Bench implements SharedStore {
  nowUs = 1_000_000;
  readonly links = new TestLinks();
  readonly memory = new MemoryStore();
  readonly manager: Manager;
  view: MasterView = { term: 0, master: null, life: '0', heir: null };
  answers = true;
  /** What becomes of writes. */
  outcome: CommitOutcome = 'done';
  isOurs = false;
  released: string | null = null;
  asked: string[] = [];
  private waiting: (() => void)[] = [];
  private tag = 0;

  constructor() {
    const log = { event: (): void => undefined };
    const options = { ...MDM_DEFAULTS, initial: INITIAL };
    this.manager = new Manager({ links: this.links, store: this, log }, PLACE, TIMES, options);
    this.manager.start(this.nowUs);
    this.settle();
  }

  look(token: Token): void {
    this.later('look', () => {
      this.manager.looked(this.nowUs, token, this.answers ? this.view : null);
    });
  }
  take(token: Token, seen: MasterView, claim: MdmPlace): void {
    this.later('take', () => {
      if (this.outcome !== 'done') {
        this.manager.taken(this.nowUs, token, this.outcome, null);
        return;
      }
      this.isOurs = true;
      const term = seen.term + 1;
      this.view = { term, master: claim, life: `${term} taken`, heir: null };
      const { sequence } = this.memory;
      const content = { term, sequence, entries: this.memory.entries() };
      this.manager.taken(this.nowUs, token, 'done', content);
    });
  }
  beat(token: Token): void {
    this.later('beat', () => {
      if (this.answers) this.manager.beaten(this.nowUs, token, this.told());
      else this.manager.beaten(this.nowUs, token, 'unknown');
    });
  }
  confirm(token: Token): void {
    this.later('confirm', () => {
      this.manager.committed(this.nowUs, token, this.isOurs ? 'done' : 'conflict');
    });
  }
  commit(token: Token, term: number, previous: number, changes: readonly Change[]): void {
    this.later('commit', () => {
      const outcome = this.told();
      if (outcome === 'done') this.memory.commit(token, term, previous, changes);
      this.manager.committed(this.nowUs, token, outcome);
    });
  }
  release(heir: string): void {
    this.released = heir;
  }
  abandon(): void {
    this.waiting = [];
  }

  /** Another MDM takes the key. */
  usurp(): void {
    this.isOurs = false;
    this.view = { term: this.view.term + 1, master: OTHER, life: `usurped`, heir: null };
  }

  settle(): void {
    for (let run = this.waiting.shift(); run !== undefined; run = this.waiting.shift()) run();
    this.links.collect();
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 50) {
      this.nowUs += 50_000;
      if (this.manager.nextDeadlineUs() <= this.nowUs) this.manager.tick(this.nowUs);
      this.settle();
    }
  }

  /** Asks on a link; the answer's status, null: none. */
  ask(link: number, frame = encodeControl(MSG.CLUSTER_QUERY, ++this.tag, 0, {})): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    this.manager.frame(this.nowUs, link, frame, view, 0);
  }

  command(link: number): void {
    this.ask(link, encodeCommand('ADD_PROTECTION_DOMAIN', ++this.tag, 'admin', { name: 'd' }));
  }

  status(): number | null {
    this.links.collect();
    return this.links.sent.find(({ tag }) => tag === this.tag)?.status ?? null;
  }

  private told(): CommitOutcome {
    return this.isOurs ? this.outcome : 'conflict';
  }

  private later(what: string, run: () => void): void {
    this.asked.push(what);
    this.waiting.push(run);
  }
}

test('the first MDM of a new system is master at once, and shows that it lives', (t) => {
  const bench = new Bench();
  t.true(bench.manager.isMaster());
  bench.asked = [];
  bench.pass(2000);
  t.true(bench.asked.filter((what) => what === 'beat').length >= 7);
});

test('a standby waits for a whole second of silence, and a store that does not answer is no silence', (t) => {
  const bench = new Bench();
  bench.usurp();
  bench.pass(300);
  t.false(bench.manager.isMaster());
  for (let life = 0; life < 20; life++) {
    bench.view = { ...bench.view, life: `${life}` };
    bench.pass(250);
  }
  bench.answers = false;
  bench.pass(5000);
  bench.answers = true;
  t.false(bench.manager.isMaster());
  bench.pass(500);
  t.false(bench.manager.isMaster());
  bench.pass(1500);
  t.true(bench.manager.isMaster());
});

test('a key that was given up is taken at once by its heir, and by nobody else', (t) => {
  for (const [heir, isTaken] of [
    ['a', true],
    ['', true],
    ['b', false],
  ] as const) {
    const bench = new Bench();
    bench.usurp();
    bench.pass(300);
    bench.view = { ...bench.view, heir, life: heir };
    bench.pass(300);
    t.is(bench.manager.isMaster(), isTaken, heir);
  }
});

test('a master that ends in order gives the key up', (t) => {
  const bench = new Bench();
  bench.manager.stop();
  t.is(bench.released, '');
});

test('a standby answers nothing but where the master is', (t) => {
  const bench = new Bench();
  bench.usurp();
  bench.pass(300);
  bench.manager.linkUp(bench.nowUs, 1, ADMIN);
  bench.ask(1);
  t.is(bench.status(), ERR.NOT_MASTER);
  const { code, body } = bench.links.sent.at(-1) ?? { code: 0, body: new Uint8Array(0) };
  const message = decodeControl(code, body);
  if (message.code !== MSG.ERROR_REPLY) throw new Error('a refusal');
  t.deepEqual(message.body.details, [{ name: 'master', value: '10.0.0.2 6611' }]);
});

test('a question is answered only after the store confirmed the mastership', (t) => {
  const bench = new Bench();
  bench.manager.linkUp(bench.nowUs, 1, ADMIN);
  bench.ask(1);
  t.is(bench.status(), null);
  bench.settle();
  t.is(bench.status(), 0);
  bench.ask(1);
  bench.usurp();
  bench.settle();
  t.is(bench.status(), null, 'a deposed master does not answer');
  t.false(bench.manager.isMaster());
  t.true(bench.links.closed.has(1), 'its clients look for the new one');
});

test('a master that was stopped for too long, or cut off, lets its links go before it does anything', (t) => {
  const bench = new Bench();
  bench.manager.linkUp(bench.nowUs, 1, ADMIN);
  bench.pass(500);
  bench.nowUs += 1_700_000;
  bench.ask(1);
  t.false(bench.manager.isMaster());
  t.true(bench.links.closed.has(1));
  const other = new Bench();
  other.manager.linkUp(other.nowUs, 1, ADMIN);
  other.answers = false;
  other.pass(1200);
  t.true(other.manager.isMaster());
  other.pass(800);
  t.false(other.manager.isMaster());
  t.true(other.links.closed.has(1));
});

test('with a full store questions are answered, commands refused, and nothing is half done', (t) => {
  const bench = new Bench();
  bench.manager.linkUp(bench.nowUs, 1, ADMIN);
  const before = bench.memory.sequence;
  bench.outcome = 'full';
  bench.command(1);
  bench.settle();
  t.is(bench.status(), ERR.STORE_FULL, 'the command that found it out');
  t.is(bench.memory.sequence, before);
  bench.pass(3000);
  bench.manager.linkUp(bench.nowUs, 2, ADMIN);
  bench.command(2);
  bench.settle();
  t.is(bench.status(), ERR.STORE_FULL);
  bench.outcome = 'done';
  bench.pass(3000);
  bench.manager.linkUp(bench.nowUs, 3, ADMIN);
  bench.command(3);
  bench.settle();
  t.is(bench.status(), 0);
  bench.outcome = 'full';
  bench.pass(1000);
  bench.ask(3);
  bench.settle();
  t.is(bench.status(), 0, 'a question');
  bench.command(3);
  t.is(bench.status(), ERR.STORE_FULL, 'a command, at once');
});
