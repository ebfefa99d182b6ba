// A real process on a real file is killed with -9 while it writes; whatever it had said to be written is there.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { Prng } from '../../backend/core/prng.js';

import { FileStore, formatFile } from './file-store.js';
import { KILL_CHUNKS, operationOf } from './kill-sequence.js';

const SIZE_BYTES = 96 * 2 ** 20;
const ROUNDS = 6;
const WRITER = fileURLToPath(new URL('kill-writer.js', import.meta.url));

/** Runs the writer until it has done so many changes, then kills it. Returns the last change that it reported. */
function writeAndDie(
  path: string,
  start: number,
  changes: number,
  durable: boolean,
): Promise<number> {
  const child = spawn(
    process.execPath,
    [WRITER, path, String(start), durable ? 'durable' : 'written'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let reported = start - 1;
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) if (line !== 'open') reported = Math.max(reported, Number(line));
    if (reported >= start + changes) child.kill('SIGKILL');
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve(reported);
      else reject(new Error(`the writer ended by itself with ${String(code)}`));
    });
  });
}

/** For every block the tags that it may carry: of the last reported change, or of a later one. */
function allowed(reported: number, horizon: number): Map<number, Set<number>> {
  const tags = new Map<number, Set<number>>();
  for (let index = 1; index <= horizon; index++) {
    const { chunk, first, count, discard } = operationOf(index);
    for (let block = first; block < first + count; block++) {
      const key = chunk * 256 + block;
      const tag = discard ? 0 : index;
      if (index <= reported) tags.set(key, new Set([tag]));
      else tags.set(key, (tags.get(key) ?? new Set([0])).add(tag));
    }
  }
  return tags;
}

/** Describes the first block whose content is none of those allowed, or null. */
async function firstWrong(
  store: FileStore,
  expected: ReadonlyMap<number, ReadonlySet<number>>,
): Promise<string | null> {
  for (let place = 0; place < KILL_CHUNKS * 256; place += 16) {
    const chunk = Math.floor(place / 256);
    const tags = await store.readTags(chunk, place % 256, 16);
    for (const [index, tag] of tags.entries()) {
      const fits = expected.get(place + index)?.has(tag) ?? tag === 0;
      if (!fits) return `chunk ${chunk}, block ${(place % 256) + index}: ${tag}`;
    }
  }
  return null;
}

for (const durable of [false, true])
  test(`kill -9 while writing loses nothing that was reported as ${durable ? 'durable' : 'written'}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'meshsan-kill-'));
    const path = join(folder, 'device');
    const prng = new Prng(durable ? 2 : 1);
    try {
      await formatFile(path, SIZE_BYTES);
      let start = 1;
      for (let round = 0; round < ROUNDS; round++) {
        const changes = prng.between(1, durable ? 1500 : 4000);
        const reported = await writeAndDie(path, start, changes, durable);
        const store = await FileStore.open(path);
        t.is(store.identity?.incarnation, 2 * round + 2);
        // What was done without being reported is known by its operation.
        let horizon = reported;
        while (store.store.knowsOp(1, horizon + 1, 0)) horizon++;
        const expected = allowed(reported, horizon);
        t.is(await firstWrong(store, expected), null, `round ${round}`);
        // Half of the rounds end cleanly, the others leave a log behind.
        if (round % 2 === 0) await store.close();
        else {
          await store.flush();
          store.abandon();
        }
        start = horizon + 1;
      }
      t.pass();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
