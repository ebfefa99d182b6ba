// The bytes of version 1 never change: a peer or a store of that version is read for ever.

import test from 'ava';

import { encodeCommand, encodeControl, encodeRefusal } from '../../../backend/protocol/control.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import { GOLDEN_VERSION, goldenRows, goldenValue, readGolden } from './golden-file.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('every row has golden bytes, and they are what is written and read', (t) => {
  const golden = readGolden();
  for (const row of goldenRows()) {
    const kept = golden[row.name];
    if (kept === undefined) {
      t.fail(`${row.name} is new: run node dist/test/unit/protocol/golden-file.js`);
      continue;
    }
    const value = goldenValue(row);
    t.is(hex(row.encode(value, GOLDEN_VERSION)), kept, row.name);
    // Fields that came later are filled in when old bytes are read; they are not part of the comparison.
    const read = row.decode(Buffer.from(kept, 'hex'), GOLDEN_VERSION) as Record<string, unknown>;
    const known = Object.entries(read).filter(([name]) => name in value);
    t.deepEqual(Object.fromEntries(known), value, row.name);
  }
});

test('no golden row is without a codec', (t) => {
  const names = new Set(goldenRows().map((row) => row.name));
  t.deepEqual(
    Object.keys(readGolden()).filter((name) => !names.has(name)),
    [],
  );
});

test('whole frames', (t) => {
  t.is(
    hex(encodeControl(MSG.PING, 0x01020304, 0, {}, 1)),
    '4d5301000501000000000000db90c7520000000004030201' + '00'.repeat(40),
  );
  t.is(
    hex(encodeCommand('REMOVE_VOLUME', 9, 'admin', { key: 5 }, 1)).slice(128),
    '0500000061646d696e05000000',
  );
  t.is(
    hex(encodeRefusal(9, ERR.BAD_FRAME, [{ name: 'reason', value: 'x' }], 1)).slice(128),
    '0100000006000000726561736f6e0100000078',
  );
});
