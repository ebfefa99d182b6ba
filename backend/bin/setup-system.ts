// What makes a system of its own: the secret that its parts share, the first administrator's password, the authority of its
// gateways. It owns these files, root's alone; it must never replace one that is there.

import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { ConfigError } from '../runtime/config-file.js';
import { makePrivateDirectory, writePrivate } from '../runtime/durable-files.js';
import { signerPair } from '../runtime/node-agent/signature.js';
import { hashPassword, newPassword, passwordFault } from '../runtime/passwords.js';
import { readPrivateFile, readSecretFile } from '../runtime/secret-file.js';
import { makeAuthority } from '../runtime/tls-certificates.js';
import { TLS_FILES } from '../runtime/tls-store.js';

const ADMIN_NAME = 'admin';
const PUBLIC_MODE = 0o644;

/** Names of the files below the configuration directory. */
export const SYSTEM_FILES = {
  secret: 'secret',
  password: 'admin-password',
  authority: TLS_FILES.authority,
  authorityKey: TLS_FILES.authorityKey,
  agentToken: 'lia-token',
  signer: 'lia-signer.pem',
  signerKey: 'lia-signer-key.pem',
} as const;

/** The first administrator, as the MDM takes it at its first start. */
export interface InitialAdmin {
  readonly name: string;
  readonly saltHex: string;
  readonly hashHex: string;
}

/**
 * Makes what is missing.
 * @param directory - of configurations; made, and readable by others, whose own files it holds too
 * @returns names of the files that it made
 */
export async function makeSystem(directory: string, name: string): Promise<string[]> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const made: string[] = [];
  const ensure = (file: string, content: () => string): void => {
    if (existsSync(join(directory, file))) return;
    writePrivate(join(directory, file), content());
    made.push(file);
  };
  ensure(SYSTEM_FILES.secret, () => `${randomBytes(32).toString('hex')}\n`);
  ensure(SYSTEM_FILES.password, () => `${newPassword()}\n`);
  const { authority, authorityKey, agentToken, signer, signerKey } = SYSTEM_FILES;
  ensure(agentToken, () => `${randomBytes(32).toString('hex')}\n`);
  if (!hasPair(directory, signer, signerKey)) {
    const { publicPem, privatePem } = signerPair(randomBytes(32));
    writePrivate(join(directory, signerKey), privatePem);
    writePrivate(join(directory, signer), publicPem, PUBLIC_MODE);
    made.push(signer, signerKey);
  }
  if (!hasPair(directory, authority, authorityKey)) {
    const { certificate, key } = await makeAuthority(`${name} gateway CA`, Date.now());
    writePrivate(join(directory, authorityKey), key);
    writePrivate(join(directory, authority), certificate, PUBLIC_MODE);
    made.push(authority, authorityKey);
  }
  return made;
}

/** Whether two files that belong together are there. @throws ConfigError when only one is */
function hasPair(directory: string, one: string, other: string): boolean {
  const present = [one, other].filter((file) => existsSync(join(directory, file)));
  if (present.length === 1)
    throw new ConfigError(
      `${join(directory, present[0] ?? '')} is there without the other of ${one} and ${other}; bring both or none`,
    );
  return present.length === 2;
}

/** @throws PrivateFileError with the file and what would be right, when a secret is missing or none */
export function requireSecret(directory: string, name: string): void {
  readSecretFile(join(directory, name));
}

/** Makes a secret where there is none. @returns whether it did */
export function ensureSecret(path: string): boolean {
  if (existsSync(path)) {
    readSecretFile(path);
    return false;
  }
  writePrivate(path, `${randomBytes(32).toString('hex')}\n`);
  return true;
}

/** @throws ConfigError, PrivateFileError when there is no password that may be used */
export async function initialAdmin(directory: string): Promise<InitialAdmin> {
  const file = join(directory, SYSTEM_FILES.password);
  const password = readPrivateFile(file).trim();
  const fault = passwordFault(password);
  if (fault !== null) throw new ConfigError(`${file} holds no usable password: ${fault}`);
  const { salt, hash } = await hashPassword(password);
  return {
    name: ADMIN_NAME,
    saltHex: Buffer.from(salt).toString('hex'),
    hashHex: Buffer.from(hash).toString('hex'),
  };
}

function textOf(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/**
 * Gives a gateway the authority of the system, if the directory holds one. A certificate of another authority is thrown
 * away: the gateway makes a new one at its next start.
 * @param stateDir - of the gateway
 * @returns whether anything changed
 */
export function handOverAuthority(directory: string, stateDir: string): boolean {
  const certificate = textOf(join(directory, SYSTEM_FILES.authority));
  const keyFile = join(directory, SYSTEM_FILES.authorityKey);
  if (certificate === null || !existsSync(keyFile)) return false;
  const key = readPrivateFile(keyFile);
  const target = join(stateDir, 'tls');
  const files = [
    { path: join(target, TLS_FILES.authority), content: certificate, mode: PUBLIC_MODE },
    { path: join(target, TLS_FILES.authorityKey), content: key, mode: 0o600 },
  ];
  if (files.every(({ path, content }) => textOf(path) === content)) return false;
  // The folder above is everybody's; the state itself is private.
  mkdirSync(dirname(stateDir), { recursive: true, mode: 0o755 });
  makePrivateDirectory(target);
  for (const name of [TLS_FILES.server, TLS_FILES.serverKey])
    rmSync(join(target, name), { force: true });
  // Where the service has run already, its files belong to its user; before, the first start gives them away.
  const { uid, gid } = statSync(stateDir);
  for (const { path, content, mode } of files) {
    writePrivate(path, content, mode);
    chownSync(path, uid, gid);
  }
  chownSync(target, uid, gid);
  return true;
}
