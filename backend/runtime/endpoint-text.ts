// Addresses with ports as people write them. It owns the form and the words in which a wrong one is refused.

import { isIP } from 'node:net';

import { ConfigError } from './config-file.js';

/** HOST, HOST:PORT or [HOST]:PORT. @param portIfNone - null: a port must be given @throws ConfigError */
export function endpointFrom(
  flag: string,
  text: string,
  portIfNone: number | null,
): { host: string; port: number } {
  const bracketed = /^\[(.+)\](?::(\d+))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d+))?$/.exec(text);
  const [, host = '', port] = bracketed ?? plain ?? (isIP(text) === 6 ? [text, text] : []);
  const number = port === undefined ? portIfNone : Number(port);
  if (isIP(host) === 0 || number === null || number < 1 || number > 65535)
    throw new ConfigError(
      `--${flag} "${text}" must be ${portIfNone === null ? 'IP:PORT' : `IP or IP:PORT (${portIfNone})`}, with an IPv6 address in brackets`,
    );
  return { host, port: number };
}
