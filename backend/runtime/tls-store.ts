// Files of the gateway's TLS: makes an authority at the first start, keeps a server certificate valid for the gateway's
// names, renews it in time. Private keys are readable by their owner only and replaced atomically; a file that exists
// and cannot be used is an error for people, never overwritten.

import { chmod, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { certificateFacts, makeAuthority, makeServerCertificate } from './tls-certificates.js';
import type { CertificateFacts, KeyedCertificate } from './tls-certificates.js';

const RENEW_BEFORE_MS = 30 * 86_400_000;

export const TLS_FILES = {
  authority: 'ca.pem',
  authorityKey: 'ca-key.pem',
  server: 'server.pem',
  serverKey: 'server-key.pem',
} as const;

/** What the HTTPS server needs. */
export interface ServerTls {
  /** Server certificate followed by the authority's. */
  readonly cert: string;
  readonly key: string;
  /** File that clients are given to trust the gateway. */
  readonly caFile: string;
  readonly notAfterMs: number;
  /** Whether this call made a new server certificate. */
  readonly renewed: boolean;
}

/** TLS files that cannot be used; the message says which and why. */
export class TlsFilesError extends Error {
  override readonly name = 'TlsFilesError';
}

async function readOr(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new TlsFilesError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/** Writes a file so that a crash leaves the old or the new content, on media. */
async function writeAtomically(path: string, content: string, mode: number): Promise<void> {
  const beside = `${path}.new`;
  const file = await open(beside, 'w', mode);
  try {
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(beside, path);
}

async function readPair(
  certificateFile: string,
  keyFile: string,
): Promise<(KeyedCertificate & { readonly facts: CertificateFacts }) | null> {
  const [certificate, key] = await Promise.all([readOr(certificateFile), readOr(keyFile)]);
  if (certificate === null || key === null) return null;
  try {
    return { certificate, key, facts: certificateFacts(certificate) };
  } catch (error) {
    throw new TlsFilesError(
      `${certificateFile} is not a certificate in PEM: ${(error as Error).message}`,
    );
  }
}

async function authorityOf(
  directory: string,
  systemName: string,
  nowMs: number,
): Promise<KeyedCertificate> {
  const certificateFile = join(directory, TLS_FILES.authority);
  const keyFile = join(directory, TLS_FILES.authorityKey);
  const kept = await readPair(certificateFile, keyFile);
  if (kept !== null) {
    if (!kept.facts.authority)
      throw new TlsFilesError(`${certificateFile} is not an authority's certificate`);
    if (kept.facts.notAfterMs <= nowMs)
      throw new TlsFilesError(
        `${certificateFile} has expired; move it and ${keyFile} away to make a new authority`,
      );
    return kept;
  }
  if ((await readOr(certificateFile)) !== null)
    throw new TlsFilesError(`${keyFile} is missing, so the server certificate cannot be renewed`);
  const made = await makeAuthority(`${systemName} gateway CA`, nowMs);
  await writeAtomically(keyFile, made.key, 0o600);
  await writeAtomically(certificateFile, made.certificate, 0o644);
  return made;
}

function stillGood(facts: CertificateFacts, names: readonly string[], nowMs: number): boolean {
  if (facts.notAfterMs - nowMs < RENEW_BEFORE_MS || facts.notBeforeMs > nowMs) return false;
  const have = new Set(facts.names);
  return names.every((name) => have.has(name.toLowerCase()));
}

/**
 * The gateway's certificate and key, made or renewed where needed (30 days before expiry, or when a name is missing).
 * @param directory - kept private to the owner
 * @param names - host names and addresses that clients use
 * @throws TlsFilesError when present files cannot be used
 */
export async function serverTls(
  directory: string,
  names: readonly string[],
  systemName: string,
  nowMs: number,
): Promise<ServerTls> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const authorityFile = join(directory, TLS_FILES.authority);
  const certificateFile = join(directory, TLS_FILES.server);
  const keyFile = join(directory, TLS_FILES.serverKey);
  const kept = await readPair(certificateFile, keyFile);
  const caPem = await readOr(authorityFile);
  if (kept !== null && caPem !== null && stillGood(kept.facts, names, nowMs)) {
    await keepPrivate(keyFile);
    return result(kept, caPem, authorityFile, kept.facts.notAfterMs, false);
  }
  const authority = await authorityOf(directory, systemName, nowMs);
  const made = await makeServerCertificate(authority, names, nowMs);
  await writeAtomically(keyFile, made.key, 0o600);
  await writeAtomically(certificateFile, made.certificate, 0o644);
  const { notAfterMs } = certificateFacts(made.certificate);
  return result(made, authority.certificate, authorityFile, notAfterMs, true);
}

/** A certificate of the operator's own. */
export async function ownTls(certificateFile: string, keyFile: string): Promise<ServerTls> {
  const kept = await readPair(certificateFile, keyFile);
  if (kept === null)
    throw new TlsFilesError(`${certificateFile} or ${keyFile} is missing; both must exist`);
  await keepPrivate(keyFile);
  return {
    cert: kept.certificate,
    key: kept.key,
    caFile: certificateFile,
    notAfterMs: kept.facts.notAfterMs,
    renewed: false,
  };
}

async function keepPrivate(keyFile: string): Promise<void> {
  const { mode } = await stat(keyFile);
  if ((mode & 0o077) !== 0) await chmod(keyFile, 0o600);
}

function result(
  pair: KeyedCertificate,
  caPem: string,
  caFile: string,
  notAfterMs: number,
  renewed: boolean,
): ServerTls {
  return { cert: pair.certificate + caPem, key: pair.key, caFile, notAfterMs, renewed };
}
