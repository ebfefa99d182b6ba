// X.509 certificates: the authority of a system and the server certificates it signs. It owns names, lifetimes and
// extensions; it must never touch a file. Elliptic-curve keys (P-256) with SHA-256: what OpenSSL 3, Java 8 and later,
// and Go accept; the extensions satisfy strict checkers (key identifiers, critical basic constraints).

import 'reflect-metadata';

import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

cryptoProvider.set(webcrypto as unknown as Parameters<typeof cryptoProvider.set>[0]);

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const SERVER_DAYS = 397;
/** Clocks of clients may be behind. */
const EARLIER_MS = DAY_MS;

/** A certificate and its private key, both in PEM. */
export interface KeyedCertificate {
  readonly certificate: string;
  readonly key: string;
}

/** What is to be known of a certificate before it is used. */
export interface CertificateFacts {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Host names and addresses that it is for, lower case. */
  readonly names: readonly string[];
  readonly authority: boolean;
}

function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function freshKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

/** A key pair on P-256 that was made elsewhere. */
export interface RawKeyPair {
  /** 32 bytes. */
  readonly privateKey: Uint8Array;
  /** Uncompressed: 4, x, y. */
  readonly publicPoint: Uint8Array;
}

async function importKeys({
  privateKey,
  publicPoint,
}: RawKeyPair): Promise<webcrypto.CryptoKeyPair> {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
  const point = {
    kty: 'EC',
    crv: 'P-256',
    x: text(publicPoint.subarray(1, 33)),
    y: text(publicPoint.subarray(33)),
  };
  const [publicKey, secretKey] = await Promise.all([
    webcrypto.subtle.importKey('jwk', point, ALGORITHM, true, ['verify']),
    webcrypto.subtle.importKey('jwk', { ...point, d: text(privateKey) }, ALGORITHM, true, ['sign']),
  ]);
  return { publicKey, privateKey: secretKey };
}

/**
 * An authority with a given key. Certificates made at different times or places from the same key and name stand for
 * each other: what one signed, the other verifies.
 */
export async function authorityFromKey(
  commonName: string,
  keys: RawKeyPair,
  nowMs: number,
): Promise<KeyedCertificate> {
  return authorityOf(commonName, await importKeys(keys), nowMs);
}

/** A new authority that may sign server certificates. */
export async function makeAuthority(commonName: string, nowMs: number): Promise<KeyedCertificate> {
  return authorityOf(commonName, await freshKeys(), nowMs);
}

async function authorityOf(
  commonName: string,
  keys: webcrypto.CryptoKeyPair,
  nowMs: number,
): Promise<KeyedCertificate> {
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ O: ['MeshSAN'] }, { CN: [commonName] }],
    notBefore: new Date(nowMs - EARLIER_MS),
    notAfter: new Date(nowMs + AUTHORITY_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyPem(keys.privateKey) };
}

/**
 * A server certificate signed by the authority.
 * @param names - host names and IP addresses that clients may use; the first becomes the common name
 * @param isClientToo - it also proves who asks, where both ends do
 */
export async function makeServerCertificate(
  authority: KeyedCertificate,
  names: readonly string[],
  nowMs: number,
  isClientToo = false,
): Promise<KeyedCertificate> {
  const issuer = new X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    PemConverter.decodeFirst(authority.key),
    ALGORITHM,
    false,
    ['sign'],
  );
  const keys = await freshKeys();
  const notAfterMs = Math.min(nowMs + SERVER_DAYS * DAY_MS, issuer.notAfter.getTime());
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [{ O: ['MeshSAN'] }, { CN: [(names[0] ?? 'gateway').slice(0, 64)] }],
    issuer: issuer.subject,
    notBefore: new Date(nowMs - EARLIER_MS),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(
        isClientToo
          ? [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]
          : [ExtendedKeyUsage.serverAuth],
      ),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyPem(keys.privateKey) };
}

/**
 * Reads the first certificate of a PEM text.
 * @throws Error when it is not a certificate
 */
export function certificateFacts(pem: string): CertificateFacts {
  const certificate = new X509Certificate(pem);
  const alternative = certificate.getExtension(SubjectAlternativeNameExtension);
  const constraints = certificate.getExtension(BasicConstraintsExtension);
  return {
    notBeforeMs: certificate.notBefore.getTime(),
    notAfterMs: certificate.notAfter.getTime(),
    names: (alternative?.names.items ?? []).map((name) => name.value.toLowerCase()),
    authority: constraints?.ca === true,
  };
}
