// Who is to be upgraded, and what that takes: nodes, the token of their agents, the secret of the system, the key that vouches for
// packages. From the environment where one is given, otherwise from the files of the node that this runs on. It must never
// print any of them.

import { join } from 'node:path';
import { UsageError } from '../runtime/flags.js';
import { readPrivateFile, readSecretFile } from '../runtime/secret-file.js';
import { secretsOf } from './environment/secrets.js';
import type { Environment } from './environment/model.js';
import { mdmAddressesOf } from './environment/model.js';
import type { UpgradeRun } from './upgrade.js';

export type UpgradeAccess = Pick<
  UpgradeRun,
  'hosts' | 'mdms' | 'token' | 'secret' | 'signingKeyPem'
>;

/** All nodes of an environment. */
export async function accessOf(environment: Environment): Promise<UpgradeAccess> {
  const secrets = await secretsOf(environment, Date.now());
  return {
    hosts: environment.nodes.map(({ managementAddress }) => managementAddress),
    mdms: mdmAddressesOf(environment),
    token: new Uint8Array(Buffer.from(secrets.agentToken, 'hex')),
    secret: new Uint8Array(Buffer.from(secrets.system, 'hex')),
    signingKeyPem: secrets.signerKeyPem,
  };
}

/**
 * These nodes, with the secrets of a node of the same system.
 *
 * @param folder - that holds lia-token, secret and lia-signer-key.pem
 * @throws UsageError, PrivateFileError
 */
export function localAccess(
  hosts: readonly string[],
  mdms: readonly string[],
  folder: string,
): UpgradeAccess {
  if (hosts.length === 0)
    throw new UsageError('name --inventory FILE, --facts FILE, or each node with --host');
  return {
    ...{ hosts, mdms },
    token: readSecretFile(join(folder, 'lia-token')),
    secret: readSecretFile(join(folder, 'secret')),
    signingKeyPem: readPrivateFile(join(folder, 'lia-signer-key.pem')),
  };
}
