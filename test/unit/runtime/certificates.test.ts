// Certificates and the files they lie in.

import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { certificateFacts } from '../../../backend/runtime/tls-certificates.js';
import { TLS_FILES, TlsFilesError, serverTls } from '../../../backend/runtime/tls-store.js';

const DAY_MS = 86_400_000;
const NAMES = ['gw.example', '10.1.2.3', 'fd00::7'];

async function directory(t: { teardown(end: () => Promise<void>): void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'meshsan-tls-'));
  t.teardown(() => rm(path, { recursive: true }));
  return path;
}

test('the first start makes an authority and a certificate for all names, keys private', async (t) => {
  const path = await directory(t);
  const tls = await serverTls(path, NAMES, 'sys', Date.now());
  t.true(tls.renewed);
  const server = new X509Certificate(tls.cert);
  const authority = new X509Certificate(await readFile(tls.caFile));
  t.true(server.verify(authority.publicKey));
  t.true(server.checkIssued(authority));
  t.true(authority.ca);
  t.false(server.ca);
  t.truthy(server.checkHost('gw.example'));
  t.truthy(server.checkIP('10.1.2.3'));
  t.truthy(server.checkIP('fd00::7'));
  t.is(server.checkHost('other.example'), undefined);
  t.true(server.checkPrivateKey(createPrivateKey(tls.key)));
  for (const name of [TLS_FILES.authorityKey, TLS_FILES.serverKey])
    t.is((await stat(join(path, name))).mode & 0o777, 0o600);
});

test('openssl verifies the chain, purpose and names strictly', async (t) => {
  const path = await directory(t);
  await serverTls(path, NAMES, 'sys', Date.now());
  const { stdout } = await promisify(execFile)('openssl', [
    ...['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'gw.example'],
    ...['-CAfile', join(path, TLS_FILES.authority), join(path, TLS_FILES.server)],
  ]);
  t.regex(stdout, /: OK/);
});

test('a good certificate is kept; a missing name or a near end renews it under the same authority', async (t) => {
  const path = await directory(t);
  const now = Date.now();
  const first = await serverTls(path, NAMES, 'sys', now);
  const second = await serverTls(path, NAMES.slice(0, 2), 'sys', now + DAY_MS);
  t.false(second.renewed);
  t.is(second.cert, first.cert);
  const named = await serverTls(path, [...NAMES, 'new.example'], 'sys', now);
  t.true(named.renewed);
  t.true(certificateFacts(named.cert).names.includes('new.example'));
  const later = await serverTls(path, NAMES, 'sys', named.notAfterMs - 29 * DAY_MS);
  t.true(later.renewed);
  t.true(later.notAfterMs > named.notAfterMs);
  const authority = new X509Certificate(await readFile(first.caFile));
  t.true(new X509Certificate(later.cert).verify(authority.publicKey));
});

test('files that cannot be used are named, never overwritten', async (t) => {
  const path = await directory(t);
  await serverTls(path, NAMES, 'sys', Date.now());
  const server = join(path, TLS_FILES.server);
  await writeFile(server, 'not a certificate');
  const error = await t.throwsAsync(serverTls(path, NAMES, 'sys', Date.now()), {
    instanceOf: TlsFilesError,
  });
  t.true(error.message.includes(server));
  t.is(await readFile(server, 'utf8'), 'not a certificate');
  await rm(server);
  await rm(join(path, TLS_FILES.authorityKey));
  await t.throwsAsync(serverTls(path, NAMES, 'sys', Date.now()), {
    message: /ca-key\.pem is missing/,
  });
});

test('a key that others may read is made private again', async (t) => {
  const path = await directory(t);
  await serverTls(path, NAMES, 'sys', Date.now());
  await chmod(join(path, TLS_FILES.serverKey), 0o644);
  await serverTls(path, NAMES, 'sys', Date.now());
  t.is((await stat(join(path, TLS_FILES.serverKey))).mode & 0o777, 0o600);
});
