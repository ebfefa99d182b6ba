// The bytes of a released version never change: a peer or a store of that version is read for ever.

import { createHash } from 'node:crypto';

import test from 'ava';

import { encodeCommand, encodeControl, encodeRefusal } from '../../../backend/protocol/control.js';
import { ERR, MSG } from '../../../backend/protocol/generated/constants.js';
import { PROTOCOL_VERSION_RELEASED } from '../../../backend/protocol/tables/messages.js';
import { GOLDEN_VERSIONS, goldenRows, goldenValue, readGolden } from './golden-file.js';

/** Digests of the golden rows of each release. A release adds its own; none is ever changed. */
const RELEASED: Readonly<Record<number, string>> = {
  1: '0272f19c39bc1262c6144a2aad72b58e49d5aae80819f6f03bbb39950346b986',
};

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

for (const version of GOLDEN_VERSIONS) {
  test(`version ${version}: every row has golden bytes, and they are what is written and read`, (t) => {
    const golden = readGolden(version);
    for (const row of goldenRows(version)) {
      const kept = golden[row.name];
      if (kept === undefined) {
        t.fail(`${row.name} is new: run node dist/test/unit/protocol/golden-file.js`);
        continue;
      }
      const value = goldenValue(row, version);
      t.is(hex(row.encode(value, version)), kept, row.name);
      // Fields that came later are filled in when old bytes are read, and left out when those are written again.
      const read = row.decode(Buffer.from(kept, 'hex'), version);
      t.is(hex(row.encode(read, version)), kept, row.name);
    }
  });

  test(`version ${version}: no golden row is without a codec`, (t) => {
    const names = new Set(goldenRows(version).map((row) => row.name));
    t.deepEqual(
      Object.keys(readGolden(version)).filter((name) => !names.has(name)),
      [],
    );
  });
}

test('released versions are as they were released', (t) => {
  for (let version = 1; version <= PROTOCOL_VERSION_RELEASED; version++) {
    const bytes = JSON.stringify(readGolden(version));
    const digest = createHash('sha256').update(bytes).digest('hex');
    t.is(
      digest,
      RELEASED[version] ?? 'no digest is kept',
      `a released row changed: new fields stand behind the old ones with \`since: ${PROTOCOL_VERSION_RELEASED + 1}\` and \`absent\``,
    );
  }
});

test('whole frames', (t) => {
  t.is(
    hex(encodeControl(MSG.PING, 0x01020304, 0, {}, 1)),
    '4d5301000501000000000000db90c7520000000004030201' + '00'.repeat(40),
  );
  t.is(
    hex(encodeCommand('REMOVE_VOLUME', 9, 'admin', { key: 5, mode: 'onlyMe' }, 1)).slice(128),
    '0500000061646d696e05000000',
  );
  t.is(
    hex(encodeRefusal(9, ERR.BAD_FRAME, [{ name: 'reason', value: 'x' }], 1)).slice(128),
    '0100000006000000726561736f6e0100000078',
  );
});
