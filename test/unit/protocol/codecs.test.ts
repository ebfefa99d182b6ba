// What goes in comes out, for every row; what breaks a bound is refused on both sides with the place and what would be
// right; damaged bytes never do anything but be refused.

import test from 'ava';
import fc from 'fast-check';

import { decodeCommand, decodeControl, decodeStored, encodeStored } from '../../support/newest.js';
import { COMMAND_BY_CODE } from '../../../backend/protocol/generated/constants.js';
import type { Volume } from '../../../backend/protocol/generated/types.js';
import { ProtocolError, Reader, Writer } from '../../../backend/protocol/wire.js';
import { ROWS } from './rows.js';
import { arbitraryFields, sampleFields } from './samples.js';

const VOLUME: Volume = {
  key: 7,
  poolKey: 3,
  vtreeKey: 7,
  ancestorKey: 0,
  groupKey: 0,
  name: 'vol-1',
  sizeSectors: 2 ** 40 + 1,
  provisioning: 'thin',
  rmcache: true,
  epoch: 1,
  createdAtMs: 1_700_000_000_000,
  lastMappingGeneration: 4,
  ...{ layerKey: 0, accessLimit: 'readWrite', doubtful: false, fullPolicy: 'pool' },
  ...{ policyKey: 0, autoPolicyKey: 0, autoRun: 0 },
  ...{ locked: false, lockedExpired: false, secureUntilMs: 0 },
};

for (const row of ROWS) {
  test(`${row.name}: what is encoded is decoded`, (t) => {
    fc.assert(
      fc.property(arbitraryFields(row.fields), (value) => {
        t.deepEqual(row.decode(row.encode(value)), value);
      }),
      { numRuns: 25 },
    );
  });

  test(`${row.name}: damaged bytes are refused or read as other values, never worse`, (t) => {
    const bytes = row.encode(sampleFields(row.fields, row.name));
    const judge = (damaged: Uint8Array): void => {
      try {
        row.decode(damaged);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    };
    for (let length = 0; length < bytes.length; length++)
      t.throws(() => row.decode(bytes.slice(0, length)), { instanceOf: ProtocolError });
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    t.throws(() => row.decode(longer), { instanceOf: ProtocolError });
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (place, flip) => {
        const damaged = new Uint8Array(bytes);
        const at = place % Math.max(1, bytes.length);
        if (at < damaged.length) damaged[at] = (damaged[at] ?? 0) ^ flip;
        judge(damaged);
      }),
      { numRuns: 50 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), judge), { numRuns: 50 });
    t.pass();
  });
}

test('a length is checked before anything is allocated by it', (t) => {
  const claim = new Uint8Array(4).fill(0xff);
  const cases: readonly ((reader: Reader) => unknown)[] = [
    (reader) => reader.str('text', 0xffffffff),
    (reader) => reader.bytesField('blob', 0xffffffff),
    (reader) => reader.count('list', 0xffffffff, 1),
  ];
  for (const read of cases) {
    const before = process.memoryUsage().arrayBuffers;
    const error = t.throws(() => read(new Reader('X', claim)), { instanceOf: ProtocolError });
    t.regex(error.message, /^X\.(text|blob|list): /);
    t.true(process.memoryUsage().arrayBuffers - before < 1 << 20);
  }
});

test('a value out of bounds is refused with its place and what would be right', (t) => {
  const encode = (change: Partial<Record<keyof Volume, unknown>>): string => {
    const value = { ...VOLUME, ...change } as Volume;
    return t.throws(() => encodeStored('Volume', value), { instanceOf: ProtocolError }).message;
  };
  t.is(encode({ key: 0 }), 'Volume.key: must be an integer from 1 to 4294967295');
  t.is(encode({ key: 1.5 }), 'Volume.key: must be an integer from 1 to 4294967295');
  t.is(encode({ key: '7' }), 'Volume.key: must be an integer from 1 to 4294967295');
  t.is(
    encode({ name: 'x'.repeat(32) }),
    'Volume.name: must be a string of at most 31 bytes of UTF-8',
  );
  t.is(
    encode({ name: 'é'.repeat(16) }),
    'Volume.name: must be a string of at most 31 bytes of UTF-8',
  );
  t.is(encode({ name: '\ud800' }), 'Volume.name: must be a string of at most 31 bytes of UTF-8');
  t.is(encode({ name: undefined }), 'Volume.name: must be a string of at most 31 bytes of UTF-8');
  t.is(encode({ provisioning: 'fat' }), 'Volume.provisioning: must be one of thin, thick');
  t.is(encode({ provisioning: 'constructor' }), 'Volume.provisioning: must be one of thin, thick');
  t.is(
    encode({ sizeSectors: 2 ** 53 }),
    'Volume.sizeSectors: must be an integer from 0 to 9007199254740991',
  );
});

test('the place of an item in nested lists is named', (t) => {
  const writer = new Writer('Sds');
  writer.enter('addresses');
  writer.item(2);
  const error = t.throws(
    () => {
      writer.str('host', 'x'.repeat(46), 45);
    },
    { instanceOf: ProtocolError },
  );
  t.is(error.path, 'Sds.addresses[2].host');
  t.is(error.expected, 'must be a string of at most 45 bytes of UTF-8');
});

test('what was decoded does not change with the buffer it came from', (t) => {
  const frame = Buffer.from(new Writer('X').finish());
  const blob = Buffer.concat([frame, Buffer.from([4, 0, 0, 0, 1, 2, 3, 4])]);
  const value = new Reader('X', blob).bytesField('blob', 4);
  blob.fill(0);
  t.deepEqual([...value], [1, 2, 3, 4]);
});

test('a writer refuses what would be longer than the longest frame', (t) => {
  const writer = new Writer('X', 0, 100);
  writer.bytesField('a', new Uint8Array(90), 100);
  t.throws(
    () => {
      writer.bytesField('b', new Uint8Array(3), 100);
    },
    { message: 'X.b: must fit: the whole is limited to 100 bytes' },
  );
});

test('a stored value carries its format version, and an unknown one is refused', (t) => {
  const bytes = encodeStored('Volume', VOLUME, 1);
  t.is(bytes[0], 1);
  t.deepEqual(decodeStored('Volume', bytes), VOLUME);
  for (const version of [0, 3, 255]) {
    const other = Uint8Array.from(bytes);
    other[0] = version;
    const error = t.throws(() => decodeStored('Volume', other), { instanceOf: ProtocolError });
    t.is(
      error.message,
      `Volume: must have a format version from 1 to 2, has ${version}: the cluster was raised by a newer version of MeshSAN`,
    );
  }
  t.throws(() => decodeStored('Volume', new Uint8Array(0)), { instanceOf: ProtocolError });
});

test('random bodies under any code are refused or decoded, never worse', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(...COMMAND_BY_CODE.keys())),
      fc.uint8Array({ maxLength: 300 }),
      (code, body) => {
        for (const decode of [decodeControl, decodeCommand]) {
          try {
            decode(code, body);
          } catch (error) {
            if (!(error instanceof ProtocolError)) throw error;
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.pass();
});
