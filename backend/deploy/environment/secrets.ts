// Secrets of a deployment, all derived from the one key of the environment, so that every node makes the same ones without
// asking another. It must never write or log any of them.

import { createECDH, hkdfSync } from 'node:crypto';
import { passwordFault } from '../../runtime/passwords.js';
import { authorityFromKey } from '../../runtime/tls-certificates.js';
import { signerPair } from '../../runtime/node-agent/signature.js';
import type { Secrets } from '../plan/model.js';
import type { Environment } from './model.js';

const CURVE_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function derive(environmentKey: string, purpose: string, bytes: number): Buffer {
  const key = Buffer.from(environmentKey, 'hex');
  return Buffer.from(hkdfSync('sha256', key, 'meshsan deployment', purpose, bytes));
}

/** Letters and digits only, so that it survives every shell, form field and configuration file. */
function derivePassword(environmentKey: string, purpose: string): string {
  for (let attempt = 0; ; attempt++) {
    const text = derive(environmentKey, `${purpose} ${attempt}`, 18)
      .toString('base64')
      .replace(/[+/=]/g, '7');
    if (passwordFault(text) === null) return text;
  }
}

/** A private key on P-256: 1 to the order of the curve less 1. */
function deriveScalar(environmentKey: string): Buffer {
  for (let attempt = 0; ; attempt++) {
    const bytes = derive(environmentKey, `authority ${attempt}`, 32);
    const value = BigInt(`0x${bytes.toString('hex')}`);
    if (value > 0n && value < CURVE_ORDER) return bytes;
  }
}

/** What the agents of an environment are enrolled with. @param scope - tells environments with the same key apart */
function agentSecrets(
  key: string,
  scope: string,
): Pick<Secrets, 'agentToken' | 'signerPem' | 'signerKeyPem'> {
  const { publicPem, privatePem } = signerPair(derive(key, `signer${scope}`, 32));
  return {
    agentToken: derive(key, `agent${scope}`, 32).toString('hex'),
    signerPem: publicPem,
    signerKeyPem: privatePem,
  };
}

/** @param nowMs - beginning of the authority's validity, where its certificate is made anew */
export async function secretsOf(environment: Environment, nowMs: number): Promise<Secrets> {
  const { existing, environmentKey, adminPassword } = environment.settings;
  if (existing !== null)
    return {
      system: existing.systemSecret,
      adminPassword: existing.password,
      openstackPassword: existing.password,
      // Both ends are on the same node, so each environment has its own whatever the cluster.
      bridgeToken: derive(existing.systemSecret, `bridge ${environment.label}`, 32).toString('hex'),
      ...agentSecrets(existing.systemSecret, ` ${environment.label}`),
      authorityPem: existing.authorityPem,
      authorityKeyPem: '',
    };
  const scalar = deriveScalar(environmentKey);
  const curve = createECDH('prime256v1');
  curve.setPrivateKey(scalar);
  const authority = await authorityFromKey(
    `${environment.label} gateway CA`,
    { privateKey: scalar, publicPoint: curve.getPublicKey() },
    nowMs,
  );
  return {
    system: derive(environmentKey, 'system', 32).toString('hex'),
    adminPassword: adminPassword === '' ? derivePassword(environmentKey, 'admin') : adminPassword,
    openstackPassword: derivePassword(environmentKey, 'openstack'),
    bridgeToken: derive(environmentKey, 'bridge', 32).toString('hex'),
    ...agentSecrets(environmentKey, ''),
    authorityPem: authority.certificate,
    authorityKeyPem: authority.key,
  };
}
