// Opens what a power cut left with the product's own loader and says what is wrong with it. The judge is a process of its
// own: LMDB dies of a file that refers to pages which are not there, and that is a finding as well.

import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import { Loop } from '../../backend/runtime/loop.js';
import { LmdbStore } from '../../backend/runtime/metadata-store.js';
import { SECRET, digestOf, expectedDigests } from './mdm-commits.js';

/** What may be found in a directory. */
export interface Question {
  readonly directory: string;
  readonly seed: number;
  /** Highest term under which was committed. */
  readonly term: number;
  /** Commits that the process had acknowledged and begun when the power was cut. */
  readonly acknowledged: number;
  readonly begun: number;
}

const QUIET = { event: (): void => undefined };
const MARK = Uint8Array.of(9, 9);
const digests = new Map<number, string[]>();

function digest(seed: number, sequence: number): string {
  let known = digests.get(seed);
  if (known?.[sequence] === undefined) {
    known = expectedDigests(seed, 2 * sequence);
    digests.set(seed, known);
  }
  return known[sequence] ?? '';
}

/** Commits one more and closes. */
async function goOn(store: LmdbStore, term: number): Promise<string> {
  let outcome = '';
  store.attach(new Loop(), {
    committed: (_, __, what) => {
      outcome = what;
    },
  });
  store.commit(1, term, store.content.sequence, [{ key: MARK, value: MARK }]);
  store.drain(0);
  await store.close();
  return outcome;
}

async function examine(question: Question): Promise<string | null> {
  const { directory, acknowledged, begun } = question;
  const store = await LmdbStore.open(directory, SECRET, QUIET).catch(
    (error: unknown) => `does not open: ${String(error)}`,
  );
  if (typeof store === 'string') return store;
  const { sequence, term, entries } = store.content;
  const outcome = await goOn(store, question.term + 1);
  if (sequence < acknowledged) return `${acknowledged} was acknowledged, ${sequence} is there`;
  if (sequence > begun) return `commit ${sequence} was never begun`;
  if (term > question.term || (sequence > 0 && term === 0)) return `term ${term}`;
  const named = entries.map(({ key, value }) => [Buffer.from(key).toString('hex'), value] as const);
  if (digestOf(named) !== digest(question.seed, sequence)) return `${sequence} is not whole`;
  if (outcome !== 'done') return `does not go on: ${outcome}`;
  const again = await LmdbStore.open(directory, SECRET, QUIET);
  const held = again.content;
  await again.close();
  const isThere = held.sequence === sequence + 1 && held.entries.length === entries.length + 1;
  return isThere ? null : 'what it went on with is not there';
}

export class Judge {
  #child: ChildProcess | null = null;

  /** What is wrong with a directory, or null. */
  async ask(question: Question): Promise<string | null> {
    this.#child ??= fork(import.meta.filename, ['judge'], { stdio: 'inherit' });
    const child = this.#child;
    const waiting = new AbortController();
    const { signal } = waiting;
    const answered = once(child, 'message', { signal }).then(([text]) => text as string | null);
    const ended = once(child, 'exit', { signal }).then(([code, by]) => {
      this.#child = null;
      return `the store's process ended with ${String(by ?? code)}`;
    });
    child.send(question);
    try {
      return await Promise.race([answered, ended]);
    } finally {
      waiting.abort();
      await Promise.allSettled([answered, ended]);
    }
  }

  end(): void {
    this.#child?.disconnect();
    this.#child = null;
  }
}

if (process.argv[2] === 'judge')
  process.on('message', (question) => {
    void examine(question as Question)
      .catch((error: unknown) => String(error))
      .then((fault) => process.send?.(fault));
  });
