// Certificates between the MDMs and etcd's members, and among the members. Whoever has the system's secret makes its own,
// under an authority whose key follows from that secret: nothing has to be sent around, and nobody else is let in. It
// owns the files for etcd, which only their owner may read.

import { createECDH, hkdfSync } from 'node:crypto';
import { join } from 'node:path';

import { makePrivateDirectory, writePrivate } from '../durable-files.js';
import { authorityFromKey, makeServerCertificate } from '../tls-certificates.js';
import type { EtcdTls } from './client.js';

const CURVE = 'prime256v1';

/** Where etcd finds what it needs. */
export interface TlsFiles {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export function tlsFiles(directory: string): TlsFiles {
  return {
    authority: join(directory, 'authority.pem'),
    certificate: join(directory, 'member.pem'),
    key: join(directory, 'member.key'),
  };
}

/** Almost every number of 32 bytes is a key of the curve; the next one is taken where one is not. */
function authorityScalar(secret: Uint8Array): Buffer {
  for (let attempt = 0; ; attempt++) {
    const info = `meshsan etcd authority ${attempt}`;
    const scalar = Buffer.from(hkdfSync('sha256', secret, '', info, 32));
    try {
      createECDH(CURVE).setPrivateKey(scalar);
      return scalar;
    } catch (error) {
      if (attempt >= 8) throw error;
    }
  }
}

/**
 * A certificate for this node, for both ends of a connection.
 *
 * @param hosts - its addresses
 */
export async function makeEtcdTls(
  secret: Uint8Array,
  hosts: readonly string[],
  nowMs: number,
): Promise<EtcdTls> {
  const privateKey = authorityScalar(secret);
  const curve = createECDH(CURVE);
  curve.setPrivateKey(privateKey);
  const keys = { privateKey, publicPoint: curve.getPublicKey() };
  const authority = await authorityFromKey('MeshSAN MDM cluster', keys, nowMs);
  const { certificate, key } = await makeServerCertificate(authority, hosts, nowMs, true);
  return { authority: authority.certificate, certificate, key };
}

/** Writes the files for a member; etcd reads them again at every connection. */
export function writeEtcdTls(directory: string, tls: EtcdTls): void {
  makePrivateDirectory(directory);
  const files = tlsFiles(directory);
  writePrivate(files.key, tls.key);
  writePrivate(files.certificate, tls.certificate);
  writePrivate(files.authority, tls.authority);
}
