// TLS in which both ends prove that they know the token of the nodes' agents: a cipher with a pre-shared key and a fresh
// Diffie-Hellman exchange. There are no certificates to hand out, and nothing of the token is ever sent. It must never log
// a key.

import { Agent } from 'node:https';
import type { ServerOptions } from 'node:https';

const IDENTITY = 'meshsan-lia';
/** The suites with pre-shared keys that Node serves are those of TLS 1.2; this one has forward secrecy and authenticates. */
const SUITE = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const;

/** What an HTTPS server needs. @param token - 32 bytes */
export function serverOptions(token: Uint8Array): ServerOptions {
  return {
    ...SUITE,
    pskIdentityHint: IDENTITY,
    pskCallback: (_, identity) => (identity === IDENTITY ? token : null),
  };
}

/** An agent whose connections are to holders of the same token only. */
export function clientAgent(token: Uint8Array): Agent {
  return new Agent({
    ...SUITE,
    pskCallback: () => ({ psk: token, identity: IDENTITY }),
    // The key proves who answers; there is no certificate whose name could be compared.
    checkServerIdentity: () => undefined,
  });
}
