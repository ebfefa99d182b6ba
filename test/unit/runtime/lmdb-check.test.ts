// A metadata store that is cut short or damaged is refused with a reason: LMDB itself would end the process by a signal.

import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { execaNode } from 'execa';

import { checkLmdbFile } from '../../../backend/runtime/lmdb-check.js';
import { LmdbStore, StoreError } from '../../../backend/runtime/metadata-store.js';

const SECRET = new Uint8Array(32).fill(7);
const QUIET = { event: (): void => undefined };
const PAGE = 4096;

const scratch = mkdtempSync(join(tmpdir(), 'meshsan-lmdb-check-'));
const good = join(scratch, 'metadata.mdb');
test.before(async () => {
  const store = await LmdbStore.open(scratch, SECRET, QUIET);
  // Enough for a tree of several levels, with large values and freed pages.
  for (let round = 0; round < 4; round++)
    store.commit(
      round,
      1,
      round,
      Array.from({ length: 400 }, (_, index) => ({
        key: Buffer.from([1, round, index >> 8, index & 255]),
        value: Buffer.alloc(index % 50 === 0 ? 20_000 : 60, index),
      })),
    );
  store.commit(4, 1, 4, [{ key: Buffer.from([1, 0, 0, 0]), value: null }]);
  await store.close();
});
test.after.always(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function copied(name: string): string {
  const path = join(scratch, name);
  copyFileSync(good, path);
  return path;
}

test('a sound store passes', (t) => {
  t.notThrows(() => {
    checkLmdbFile(good);
  });
  t.true(readFileSync(good).length > 100 * PAGE);
});

test('a store that is cut short anywhere is refused with its length', (t) => {
  const path = copied('short');
  const whole = readFileSync(good).length;
  for (const bytes of [0, 100, PAGE, 2 * PAGE, 3 * PAGE, whole >> 1, 100 * PAGE]) {
    truncateSync(path, bytes);
    t.throws(
      () => {
        checkLmdbFile(path);
      },
      { message: bytes < 2 * PAGE ? /it is cut short/ : new RegExp(`${bytes} bytes, but`) },
      `${bytes} bytes`,
    );
    copyFileSync(good, path);
  }
});

test('every page that is overwritten with something else is missed, or holds nothing', (t) => {
  const path = join(scratch, 'overwritten');
  const whole = readFileSync(good);
  let refused = 0;
  for (let page = 0; page * PAGE < whole.length; page++) {
    const damaged = Buffer.from(whole);
    damaged.fill(0xa5, page * PAGE, (page + 1) * PAGE);
    writeFileSync(path, damaged);
    try {
      checkLmdbFile(path);
    } catch (error) {
      t.regex((error as Error).message, /damaged|not a metadata store|cut short/);
      refused++;
    }
  }
  // The tree's pages: large values lie in runs of pages of which only the first has a mark.
  t.true(refused > 30, `${refused} pages`);
});

test('opening a store that is cut short is an error with its path, and the process lives on', async (t) => {
  const directory = mkdtempSync(join(scratch, 'store-'));
  const path = join(directory, 'metadata.mdb');
  copyFileSync(good, path);
  truncateSync(path, readFileSync(good).length >> 1);
  const error = await t.throwsAsync(LmdbStore.open(directory, SECRET, QUIET), {
    instanceOf: StoreError,
  });
  t.regex(error.message, /metadata\.mdb cannot be opened: it is cut short or damaged/);
});

test('without the check the process would be ended by a signal', async (t) => {
  const path = copied('unchecked.mdb');
  truncateSync(path, 3 * PAGE);
  const program = join(scratch, 'open.mjs');
  const lmdb = import.meta.resolve('lmdb');
  writeFileSync(
    program,
    `import { open } from ${JSON.stringify(lmdb)};
const db = open({ path: process.argv[2], noSubdir: true, encoding: 'binary', keyEncoding: 'binary' });
for (const { key } of db.getRange({})) if (key === null) process.exit(9);
process.exit(8);`,
  );
  const { signal, exitCode } = await execaNode(program, [path], { reject: false });
  t.true(signal === 'SIGBUS' || signal === 'SIGSEGV' || exitCode === 1, `${signal} ${exitCode}`);
});
