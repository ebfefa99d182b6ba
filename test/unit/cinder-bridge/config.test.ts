// The configuration of the bridge: what is refused, with the file, the place and what would be right.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { ConfigError } from '../../../backend/runtime/config-file.js';
import { PrivateFileError } from '../../../backend/runtime/secret-file.js';
import { assemble } from '../../../cinder-bridge/assembly.js';
import { Authentication } from '../../../cinder-bridge/authentication.js';
import { readBridgeConfig } from '../../../backend/runtime/bridge-config.js';

const dir = mkdtempSync(join(tmpdir(), 'meshsan-bridge-config-'));
const QUIET = { event: () => undefined };

test.after.always(() => {
  rmSync(dir, { recursive: true, force: true });
});

function file(name: string, text: string, mode = 0o600): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const GOOD = {
  gateways: ['https://127.0.0.1:1'],
  caFile: file('ca.pem', '', 0o644),
  username: 'cinder',
  passwordFile: file('password', 'secret-1\n'),
  tokenFile: file('token', 'ab'.repeat(32)),
  listen: { socket: join(dir, 'bridge.sock') },
};

/** Why a configuration cannot be used; empty when it can. */
function reason(text: string, mode = 0o600): string {
  try {
    const config = readBridgeConfig(file('config.json', text, mode));
    Authentication.fromFile(config.tokenFile, Date.now);
    assemble(config, QUIET).close();
    return '';
  } catch (error) {
    if (error instanceof ConfigError || error instanceof PrivateFileError) return error.message;
    throw error;
  }
}

test('a good one is taken, with defaults', (t) => {
  t.is(reason(JSON.stringify(GOOD)), '');
  const config = readBridgeConfig(file('config.json', JSON.stringify(GOOD)));
  t.like(config, { name: 'cinder-bridge', requestTimeoutSeconds: 50, hosts: {} });
  const tcp = { ...GOOD, listen: { host: '127.0.0.1', port: 8790 } };
  t.is(reason(JSON.stringify(tcp)), '');
});

for (const [changes, wanted] of [
  [{ gatway: 1 }, /unknown key "gatway" in the file; did you mean "gateways"\?/],
  [{ gateways: [] }, /gateways must NOT have fewer than 1/],
  [{ gateways: ['http://127.0.0.1'] }, /gateways\.0 must match pattern/],
  [{ gateways: 'https://127.0.0.1' }, /gateways must be array/],
  [{ caFile: 'ca.pem' }, /caFile must be an absolute path/],
  [{ caFile: join(dir, 'none.pem') }, /caFile .*none\.pem cannot be read/],
  [{ passwordFile: join(dir, 'none') }, /none cannot be read/],
  [{ passwordFile: file('open', 'x', 0o644) }, /mode 0644; it must be readable by its owner only/],
  [{ tokenFile: file('short', 'ab') }, /must hold 64 hex digits/],
  [{ listen: {} }, /a socket, or a host and a port/],
  [{ listen: { socket: '/x', host: '127.0.0.1', port: 1 } }, /a socket, or a host and a port/],
  [{ listen: { host: '127.0.0.1' } }, /stand together/],
  [{ listen: { host: '0.0.0.0', port: 8790 } }, /must be an address of loopback/],
  [{ listen: { host: '127.evil.example', port: 8790 } }, /must be an address of loopback/],
  [{ listen: { socket: `/${'x'.repeat(108)}` } }, /at most 107 bytes/],
  [{ hosts: { compute1: 'x' } }, /hosts\.compute1 must match pattern/],
  [{ requestTimeoutSeconds: 1 }, /requestTimeoutSeconds must be >= 5/],
  [{ username: 'x'.repeat(32) }, /username must NOT have more than 31/],
] as const)
  test(`refused: ${JSON.stringify(changes).slice(0, 60)} ${wanted.source}`, (t) => {
    const found = reason(JSON.stringify({ ...GOOD, ...changes }));
    t.regex(found, wanted);
    t.false(found.includes('secret-1'), 'no secret in a message');
  });

test('refused: a file that others can read, that is no JSON, that is not there', (t) => {
  t.regex(reason(JSON.stringify(GOOD), 0o644), /must be readable by its owner/);
  t.regex(reason('{'), /it is not JSON/);
  t.throws(() => readBridgeConfig(join(dir, 'none.json')), { message: /none\.json/ });
});
