// The process that store-kill.test.ts kills: writes a known sequence as fast as it can and says how far it has come.

import { FileStore } from './file-store.js';
import { operationOf } from './kill-sequence.js';

async function main(path: string, start: number, durable: boolean): Promise<void> {
  const store = await FileStore.open(path);
  process.stdout.write('open\n');
  const lsns: { lsn: number; index: number }[] = [];
  let told = start - 1;
  store.neededFrom = start;
  for (let index = start; ; index++) {
    const { chunk, first, count, discard } = operationOf(index);
    const lsn = discard
      ? store.discard(chunk, first, count, index)
      : await store.write(chunk, first, count, index, index);
    store.store.settle(store.store.writtenLsn);
    if (durable) store.store.wantDurable(lsn);
    lsns.push({ lsn, index });
    if (index % 16 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    const safe = durable ? store.store.durableLsn : store.store.writtenLsn;
    let last = told;
    while (lsns.length > 0 && (lsns[0]?.lsn ?? Infinity) <= safe)
      last = lsns.shift()?.index ?? last;
    if (last > told) process.stdout.write(`${last}\n`);
    told = last;
    store.neededFrom = told + 1;
  }
}

await main(process.argv[2] ?? '', Number(process.argv[3]), process.argv[4] === 'durable');
