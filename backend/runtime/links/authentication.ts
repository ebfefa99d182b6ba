// The cryptography of handshakes: HMAC under the system's secret, comparison in constant time, nonces. It owns the
// secret's bytes; it must never log or return them.

import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';

import type { Role } from '../../core/ports.js';
import { FEATURE } from '../../protocol/generated/constants.js';
import { NONCE_BYTES, OWN_VERSIONS } from '../../protocol/handshake.js';
import type { HandshakeRules } from '../../protocol/handshake.js';

/** All that the protocol knows. */
const FEATURES = Object.values(FEATURE).reduce((all, mask) => all + mask, 0);

/**
 * The rules of a process for all its handshakes.
 *
 * @param role - what the process is
 * @param accepts - roles whose links it accepts; empty: it only connects
 * @param secret - of the system; at least 16 bytes, copied
 */
export function handshakeRules(
  role: Role,
  accepts: readonly Role[],
  secret: Uint8Array,
): HandshakeRules {
  if (secret.length < 16) throw new RangeError('the system secret must have at least 16 bytes');
  const key = createSecretKey(secret);
  return {
    role,
    accepts,
    ...OWN_VERSIONS,
    features: FEATURES,
    hmac: (parts) => {
      const hmac = createHmac('sha256', key);
      for (const part of parts) hmac.update(part);
      return hmac.digest();
    },
    equal: (left, right) => timingSafeEqual(left, right),
  };
}

/** Random bytes for one handshake. */
export function newNonce(): Uint8Array {
  return randomBytes(NONCE_BYTES);
}
