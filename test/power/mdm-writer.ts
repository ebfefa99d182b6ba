// Runs under strace: opens the MDM's store and commits, saying before each commit that it begins and afterwards that it is
// acknowledged. Arguments: directory, seed, term, number of commits.

import { writeSync } from 'node:fs';

import { Loop } from '../../backend/runtime/loop.js';
import { LmdbStore } from '../../backend/runtime/metadata-store.js';
import { SECRET, changesOf } from './mdm-commits.js';

const STDOUT = 1;
const [directory = '', ...numbers] = process.argv.slice(2);
const [seed = 0, term = 0, commits = 0] = numbers.map(Number);

const log = {
  event: (_: string, name: string, fields: Readonly<Record<string, unknown>>): void => {
    process.stderr.write(`${name} ${JSON.stringify(fields)}\n`);
  },
};
const store = await LmdbStore.open(directory, SECRET, log);
store.attach(new Loop(), {
  committed: (_, sequence, outcome) => {
    writeSync(STDOUT, `${outcome === 'done' ? 'ack' : outcome} ${sequence}\n`);
  },
});
const first = store.content.sequence + 1;
writeSync(STDOUT, `open ${store.content.sequence}\n`);
for (let sequence = first; sequence < first + commits; sequence++) {
  writeSync(STDOUT, `begin ${sequence}\n`);
  store.commit(sequence, term, sequence - 1, changesOf(seed, sequence));
  store.drain(0);
}
await store.close();
