// The sentinel's probe: how often it asks, when it calls a pool starved and when well again, and that it finds content that
// nobody wrote.

import test from 'ava';

import { BLOCK_BYTES, fillBlock, readBlock } from '../../../backend/sentinel/content.js';
import { POSITIONS, Probe } from '../../../backend/sentinel/probe.js';
import type { ProbeVolume, Verdict } from '../../../backend/sentinel/probe.js';

const MS = 1000;
const SECOND = 1000 * MS;
const RULES = { intervalUs: 100 * MS, boundUs: SECOND, clearUs: 10 * SECOND };

/** A volume in memory whose requests take as long as the test says. */
class Played implements ProbeVolume {
  nowUs = 0;
  /** How long a request takes; Infinity: it is not answered. */
  takesUs = MS;
  fails = false;
  underWay = 0;
  mostUnderWay = 0;
  reads = 0;
  writes = 0;
  readonly said: [atUs: number, verdict: Verdict, why: string][] = [];
  readonly blocks = new Map<number, Uint8Array>();
  readonly probe: Probe;
  #answer: { readonly sentUs: number; readonly bytes: Uint8Array } | null = null;

  constructor(before: Verdict = 'well', blocks?: Map<number, Uint8Array>, sequence = 1000) {
    for (const [at, bytes] of blocks ?? []) this.blocks.set(at, bytes);
    this.probe = new Probe(0, RULES, this, before, sequence);
  }

  read(offsetBytes: number, lengthBytes: number): void {
    this.reads += 1;
    this.#sent(this.blocks.get(offsetBytes) ?? new Uint8Array(lengthBytes));
  }
  write(offsetBytes: number, bytes: Uint8Array): void {
    this.writes += 1;
    if (!this.fails) this.blocks.set(offsetBytes, bytes.slice());
    this.#sent(new Uint8Array(0));
  }
  judged(verdict: Verdict, why: string): void {
    this.said.push([this.nowUs, verdict, why]);
  }

  #sent(bytes: Uint8Array): void {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    this.#answer = { sentUs: this.nowUs, bytes };
  }

  /** Lets time pass as the loop of the process does. */
  run(forUs: number): void {
    const endUs = this.nowUs + forUs;
    for (;;) {
      const answer = this.#answer;
      const answerUs = answer === null ? Infinity : answer.sentUs + this.takesUs;
      const nextUs = Math.min(answerUs, this.probe.nextDeadlineUs());
      if (nextUs > endUs) break;
      this.nowUs = Math.max(this.nowUs, nextUs);
      if (answer !== null && answerUs <= this.nowUs) {
        this.#answer = null;
        this.underWay -= 1;
        this.probe.answered(this.nowUs, !this.fails, answer.bytes, 0);
      } else this.probe.tick(this.nowUs);
    }
    this.nowUs = endUs;
  }
}

test('it reads and writes one block at a steady rate, one request at a time', (t) => {
  const played = new Played();
  played.run(20 * SECOND);
  t.true(Math.abs(played.reads - 200) <= 1 && Math.abs(played.writes - 200) <= 1);
  t.is(played.mostUnderWay, 1);
  t.is(played.blocks.size, POSITIONS, 'every block lies in a chunk of its own');
  t.deepEqual(played.said, []);
});

test('what was missed while requests were slow is not made up for', (t) => {
  const played = new Played();
  played.takesUs = 400 * MS;
  played.run(8 * SECOND);
  const before = played.reads;
  played.takesUs = MS;
  played.run(SECOND);
  t.true(played.reads - before <= 12, String(played.reads - before));
});

test('a request without an answer starves it at the bound, and time makes it well again', (t) => {
  const played = new Played();
  played.run(SECOND - 50 * MS);
  played.takesUs = Infinity;
  played.run(5 * SECOND);
  t.is(played.said.length, 1);
  const [[atUs, verdict, why] = [0, 'well', '']] = played.said;
  t.is(verdict, 'starved');
  t.is(why, 'no answer for 1000 ms');
  t.true(atUs > 1.9 * SECOND && atUs < 2.1 * SECOND, String(atUs));
  played.takesUs = MS;
  played.run(9 * SECOND);
  t.is(played.probe.verdict, 'starved', 'not yet: the pool may stumble again');
  played.run(3 * SECOND);
  t.is(played.probe.verdict, 'well');
});

test('the alert does not flutter: above half of the bound nothing clears it', (t) => {
  const played = new Played();
  played.takesUs = 1.2 * SECOND;
  played.run(3 * SECOND);
  t.is(played.probe.verdict, 'starved');
  played.takesUs = 0.6 * SECOND;
  played.run(60 * SECOND);
  t.is(played.probe.verdict, 'starved');
  t.is(played.said.length, 1);
  played.takesUs = 0.4 * SECOND;
  played.run(12 * SECOND);
  t.is(played.probe.verdict, 'well');
  played.takesUs = 0.6 * SECOND;
  played.run(60 * SECOND);
  t.is(played.probe.verdict, 'well', 'and below the bound nothing raises it');
});

test('a request that fails starves it too', (t) => {
  const played = new Played();
  played.run(SECOND);
  played.fails = true;
  played.run(SECOND);
  t.is(played.said[0]?.[2], 'a read failed');
  played.fails = false;
  played.run(12 * SECOND);
  t.is(played.probe.verdict, 'well');
});

test('content that nobody wrote is found within a round, and no time heals it', (t) => {
  const played = new Played();
  played.run(10 * SECOND);
  const bytes = played.blocks.get(5 * 1_048_576);
  if (bytes === undefined) throw new Error('it wrote block 5');
  bytes[4000] = (bytes[4000] ?? 0) ^ 1;
  played.run(7 * SECOND);
  t.is(played.said[0]?.[1], 'wrong');
  t.regex(played.said[0]?.[2] ?? '', /^block 5 holds what nobody wrote instead of write \d+$/);
  played.run(60 * SECOND);
  t.is(played.probe.verdict, 'wrong');
});

test('an older content of its own is as wrong as any other', (t) => {
  const played = new Played();
  played.run(7 * SECOND);
  const old = played.blocks.get(3 * 1_048_576)?.slice();
  played.run(7 * SECOND);
  if (old === undefined) throw new Error('it wrote block 3');
  played.blocks.set(3 * 1_048_576, old);
  played.run(7 * SECOND);
  t.regex(played.said[0]?.[2] ?? '', /^block 3 holds write \d+ instead of write \d+$/);
});

test('another life takes what is there as it is, as long as the blocks are whole', (t) => {
  const first = new Played();
  first.run(9 * SECOND);
  const next = new Played('starved', first.blocks, 5000);
  next.run(9 * SECOND);
  t.is(next.probe.verdict, 'starved', 'what the life before said holds until time has passed');
  next.run(3 * SECOND);
  t.deepEqual(
    next.said.map(([, verdict]) => verdict),
    ['well'],
  );
});

test('a block says which write it holds, for its own position only', (t) => {
  const bytes = new Uint8Array(BLOCK_BYTES + 16);
  fillBlock(bytes, 16, 7, 2 ** 40 + 3);
  t.is(readBlock(bytes, 16, 7), 2 ** 40 + 3);
  t.is(readBlock(bytes, 16, 8), null);
  t.is(readBlock(new Uint8Array(BLOCK_BYTES), 0, 7), 0);
  for (const at of [0, 5, 14, 300, BLOCK_BYTES - 1]) {
    const torn = bytes.slice();
    torn[16 + at] = (torn[16 + at] ?? 0) ^ 0x10;
    t.is(readBlock(torn, 16, 7), null, `byte ${at}`);
  }
});
