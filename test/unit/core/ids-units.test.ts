// Ids and sizes as people write them.

import test from 'ava';
import fc from 'fast-check';

import {
  formatId,
  guidFromBytes,
  keyOfId,
  normalizeGuid,
  parseId,
} from '../../../backend/core/ids.js';
import { formatSize, parseSize } from '../../../backend/core/units.js';

const GUID = '271BAD82-08EE-44F2-A2B1-7E2787C27BE1';

test('an id is its prefix and its key, and back', (t) => {
  t.is(formatId(0x5c1a10ad, 7), '5c1a10ad00000007');
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), (idPrefix, key) => {
      const text = formatId(idPrefix, key);
      t.is(text.length, 16);
      t.deepEqual(parseId(text), { idPrefix, key });
      t.deepEqual(parseId(text.toUpperCase()), { idPrefix, key });
      t.is(keyOfId(idPrefix, text), key);
    }),
  );
  t.is(keyOfId(1, '5c1a10ad00000007'), null);
  for (const text of [
    '',
    '5c1a10ad0000000',
    '5c1a10ad000000070',
    '5c1a10ad0000000g',
    ' 5c1a10ad00000007',
  ])
    t.is(parseId(text), null, text);
});

test('a GUID has one form', (t) => {
  for (const text of [GUID, GUID.toLowerCase(), `{${GUID}}`, ` ${GUID}\n`])
    t.is(normalizeGuid(text), GUID);
  for (const text of ['', GUID.slice(1), `${GUID}0`, GUID.replaceAll('-', ''), `{${GUID}`])
    t.is(normalizeGuid(text), null, text);
  const made = guidFromBytes(new Uint8Array(16).fill(0xff));
  t.is(made, 'FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF');
  t.is(normalizeGuid(made), made);
});

test('sizes that people write', (t) => {
  const right: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['4096', 4096],
    ['16G', 16 * 2 ** 30],
    ['16g', 16 * 2 ** 30],
    ['16GB', 16 * 2 ** 30],
    ['16 GiB', 16 * 2 ** 30],
    [' 512MiB ', 512 * 2 ** 20],
    ['1.5T', 1.5 * 2 ** 40],
    ['0.5K', 512],
    ['8P', 8 * 2 ** 50 > Number.MAX_SAFE_INTEGER ? NaN : 8 * 2 ** 50],
    ['1P', 2 ** 50],
    ['10B', 10],
  ];
  for (const [text, bytes] of right)
    t.is(parseSize(text), Number.isNaN(bytes) ? null : bytes, text);
  for (const text of [
    '',
    'G',
    '-1',
    '1e3',
    '0x10',
    '1,5G',
    '1.5',
    '1 G B',
    '99999999P',
    '1.G',
    '+1',
    'NaN',
  ])
    t.is(parseSize(text), null, text);
});

test('sizes for people', (t) => {
  t.is(formatSize(0), '0 bytes');
  t.is(formatSize(1023), '1023 bytes');
  t.is(formatSize(1024), '1 KiB');
  t.is(formatSize(1536), '1.5 KiB');
  t.is(formatSize(16 * 2 ** 30), '16 GiB');
  t.is(formatSize(2 ** 50), '1 PiB');
});
