// Signatures of package files: who may vouch for what is installed. It owns the forms of keys and signatures (Ed25519, PEM,
// base64); it must never log a key.

import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { packageStatement } from '../../protocol/lia.js';
import { PrivateFileError } from '../secret-file.js';

const SIGNATURE_BYTES = 64;
/** Before the 32 bytes of a private key in PKCS #8. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

function ed25519(key: KeyObject, source: string): KeyObject {
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new PrivateFileError(`${source} must hold an Ed25519 key in PEM`);
}

/** @param source - for messages @throws PrivateFileError when the text is no such key */
export function signerKey(pem: string, source: string): KeyObject {
  try {
    return ed25519(createPublicKey(pem), source);
  } catch (error) {
    throw error instanceof PrivateFileError
      ? error
      : new PrivateFileError(
          `${source} must hold a public key in PEM: ${(error as Error).message}`,
        );
  }
}

/** @param source - for messages @throws PrivateFileError when the text is no such key */
export function signingKey(pem: string, source: string): KeyObject {
  try {
    return ed25519(createPrivateKey(pem), source);
  } catch (error) {
    throw error instanceof PrivateFileError
      ? error
      : new PrivateFileError(
          `${source} must hold a private key in PEM: ${(error as Error).message}`,
        );
  }
}

export interface SignerPair {
  readonly publicPem: string;
  readonly privatePem: string;
}

/** The pair of a given private key. @param seed - 32 bytes */
export function signerPair(seed: Uint8Array): SignerPair {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_HEAD, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  return {
    privatePem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicPem: createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string,
  };
}

/** Vouches for a file. @returns base64 */
export function signPackage(key: KeyObject, sha256: string): string {
  return sign(null, Buffer.from(packageStatement(sha256)), key).toString('base64');
}

/** Whether a signature is this signer's for this file. */
export function vouches(signer: KeyObject, sha256: string, signature: string): boolean {
  const bytes = Buffer.from(signature, 'base64');
  if (bytes.length !== SIGNATURE_BYTES) return false;
  return verify(null, Buffer.from(packageStatement(sha256)), signer, bytes);
}

/** SHA-256 of a file, 64 hex digits. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
