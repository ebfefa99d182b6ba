// The flags of meshsan-setup as values of configuration files. It owns their forms and the words in which a wrong one is
// refused; whether a value fits its file is for the file's schema to say.

import { isIP } from 'node:net';

import { ConfigError } from '../runtime/config-file.js';
import { endpointFrom } from '../runtime/endpoint-text.js';
import { LIA_PORT } from '../protocol/lia.js';

const MDM_PORT = 6611;
const ROLES: readonly string[] = ['all', 'sdsOnly', 'sdcOnly', 'management'];
/** Words that would reach behind an object. */
const FORBIDDEN_KEYS: readonly string[] = ['__proto__', 'constructor', 'prototype'];

export type Json = Record<string, unknown>;

/** HOST or HOST=ROLE. */
export function addressFrom(text: string): Json {
  const [host = '', role = 'all', ...rest] = text.split('=');
  if (isIP(host) === 0 || !ROLES.includes(role) || rest.length > 0)
    throw new ConfigError(
      `--address "${text}" must be an IP address, or IP=ROLE with the role ${ROLES.join(', ')}`,
    );
  return { host, role };
}

export const mdmFrom = (text: string): Json => ({ ...endpointFrom('mdm', text, MDM_PORT) });
export const listenFrom = (text: string): Json => ({ ...endpointFrom('listen', text, null) });
export const agentListenFrom = (text: string): Json => ({
  ...endpointFrom('listen', text, LIA_PORT),
});

/** Sets what `KEY=JSON` says; the key may have dots. */
export function applySet(config: Json, text: string): void {
  const cut = text.indexOf('=');
  const keys = text.slice(0, Math.max(cut, 0)).split('.');
  const last = keys.pop() ?? '';
  if (cut < 1 || [...keys, last].some((key) => key === '' || FORBIDDEN_KEYS.includes(key)))
    throw new ConfigError(`--set "${text}" must be KEY=JSON, as in options.leaseMs=1500`);
  let value: unknown;
  try {
    value = JSON.parse(text.slice(cut + 1));
  } catch (error) {
    throw new ConfigError(
      `--set "${text}": the value must be JSON (text in double quotes): ${(error as Error).message}`,
    );
  }
  let place = config;
  for (const key of keys) {
    const inner: unknown = place[key] ?? {};
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner))
      throw new ConfigError(`--set "${text}": ${key} is no object`);
    place[key] = inner;
    place = inner as Json;
  }
  place[last] = value;
}
