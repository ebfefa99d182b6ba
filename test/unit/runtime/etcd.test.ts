// What the metadata store on etcd does without etcd: pieces of large commits, the layout of its keys, certificates, the
// configuration of a cluster.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';

import test from 'ava';
import fc from 'fast-check';

import { checkMdmConfig } from '../../../backend/bin/mdm-config.js';
import { makeEtcdTls } from '../../../backend/runtime/etcd/certificates.js';
import {
  decodePiece,
  encodePiece,
  ForeignPrefixError,
  Layout,
  split,
} from '../../../backend/runtime/etcd/layout.js';
import { EtcdMember, MemberError, memberArguments } from '../../../backend/runtime/etcd/member.js';

const SECRET = new Uint8Array(32).fill(7);
const QUIET = { event: (): void => undefined };

const CHANGES = fc.array(
  fc.record({
    key: fc.uint8Array({ minLength: 1, maxLength: 12 }),
    value: fc.option(fc.uint8Array({ maxLength: 300 })),
  }),
  { maxLength: 350 },
);

test('the pieces of a commit hold all of it in order, and each fits into a transaction', (t) => {
  fc.assert(
    fc.property(CHANGES, (changes) => {
      const pieces = split(changes);
      t.deepEqual(
        pieces.flat().map(({ key }) => key),
        changes.map(({ key }) => key),
      );
      for (const piece of pieces) {
        t.true(piece.length <= 100);
        const decoded = decodePiece(encodePiece(piece));
        t.deepEqual(
          decoded.map(({ key, value }) => [
            Buffer.from(key),
            value === null ? null : Buffer.from(value),
          ]),
          piece.map(({ key, value }) => [
            Buffer.from(key),
            value === null ? null : Buffer.from(value),
          ]),
        );
      }
    }),
    { numRuns: 20 },
  );
  const large = Array.from({ length: 5 }, (_, index) => ({
    key: new Uint8Array([index]),
    value: new Uint8Array(300 * 1024),
  }));
  t.deepEqual(
    split(large).map(({ length }) => length),
    [2, 2, 1],
  );
  t.throws(() => decodePiece(encodePiece(large.slice(0, 1)).subarray(0, 1000)), {
    message: /cut short/,
  });
});

test('a head of another system, another version or of something else is refused, with the reason', (t) => {
  const layout = new Layout('/p', SECRET);
  const head = (value: string): Parameters<Layout['decodeControl']>[0] => [
    { key: Buffer.from('/p/control/head'), value: Buffer.from(value), modRevision: 5 },
  ];
  const own = Buffer.from(layout.encodeHead(3, 9, '3-9-1'), 'base64').toString();
  t.like(layout.decodeControl(head(own)), { headRevision: 5, masterRevision: 0 });
  t.like(layout.decodeControl(head(own)).head, { term: 3, sequence: 9, staged: '3-9-1' });
  for (const [value, expected] of [
    [
      Buffer.from(new Layout('/p', new Uint8Array(32)).encodeHead(1, 1, null), 'base64').toString(),
      /another system/,
    ],
    [own.replace('"format":1', '"format":2'), /format 2, this program knows 1/],
    ['no json', /cannot be read/],
  ] as const)
    t.throws(() => layout.decodeControl(head(value)), {
      instanceOf: ForeignPrefixError,
      message: expected,
    });
});

test('nodes with the same secret trust each other, and nobody else', async (t) => {
  const nowMs = Date.now();
  const [one, other, foreign] = await Promise.all([
    makeEtcdTls(SECRET, ['10.0.0.1'], nowMs),
    makeEtcdTls(SECRET, ['10.0.0.2'], nowMs),
    makeEtcdTls(new Uint8Array(32).fill(8), ['10.0.0.3'], nowMs),
  ]);
  const authority = new X509Certificate(one.authority).publicKey;
  const certificate = new X509Certificate(other.certificate);
  t.true(certificate.verify(authority));
  t.is(certificate.checkIP('10.0.0.2'), '10.0.0.2');
  t.false(new X509Certificate(foreign.certificate).verify(authority));
});

test('a member has nothing secret on its command line, and says what is missing', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'meshsan-member-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const self = { name: 'm1', host: '127.0.0.1', clientPort: 9012, peerPort: 9013 };
  const options = {
    ...{ program: '/nonexistent/etcd', directory, self, members: [self], joins: false },
    ...{ clusterToken: 'token', log: QUIET },
  };
  const text = memberArguments(options).join(' ');
  t.regex(text, /--client-cert-auth=true/);
  t.regex(text, /--peer-client-cert-auth=true/);
  t.notRegex(text, /http:/);
  await t.throwsAsync(new EtcdMember(options).start(), {
    instanceOf: MemberError,
    message: /\/nonexistent\/etcd is missing: install etcd/,
  });
});

test('what a node needs for a cluster has defaults, and is checked', (t) => {
  const config = (cluster?: Record<string, unknown>): unknown => ({
    addresses: [{ host: '10.0.0.1', role: 'all' }],
    ...{ secretFile: '/s', stateDir: '/d' },
    ...(cluster === undefined ? {} : { cluster }),
  });
  const defaults = {
    ...{ prefix: '/meshsan', program: '/usr/bin/etcd', clientPort: 9012, peerPort: 9013 },
  };
  t.deepEqual(checkMdmConfig('f', config()).cluster, defaults);
  t.deepEqual(checkMdmConfig('f', config({ clientPort: 7 })).cluster, {
    ...defaults,
    clientPort: 7,
  });
  for (const [changes, expected] of [
    [{ prefix: 'meshsan' }, /cluster.prefix/],
    [{ program: 'etcd' }, /cluster.program/],
    [{ peerPort: 0 }, /cluster.peerPort/],
    [{ members: [] }, /members/],
  ] as const)
    t.throws(() => checkMdmConfig('f', config(changes)), { message: expected });
});
