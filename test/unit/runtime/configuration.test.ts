// Configuration files, private files, the form of log lines and the rules of passwords.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { JSONSchemaType } from 'ajv';
import test from 'ava';

import {
  ABSOLUTE_PATH,
  ConfigError,
  IP_ADDRESS,
  PORT,
  readConfigFile,
} from '../../../backend/runtime/config-file.js';
import { formatLine, openLog } from '../../../backend/runtime/log-sink.js';
import {
  LoginThrottle,
  PasswordChecker,
  hashPassword,
  passwordFault,
} from '../../../backend/runtime/passwords.js';
import { PrivateFileError, readSecretFile } from '../../../backend/runtime/secret-file.js';

interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  readonly stateDir: string;
  readonly level: string;
}

const SCHEMA = {
  type: 'object',
  properties: {
    listen: {
      type: 'object',
      properties: { host: IP_ADDRESS, port: PORT },
      required: ['host', 'port'],
      additionalProperties: false,
    },
    stateDir: ABSOLUTE_PATH,
    level: { type: 'string', enum: ['info', 'debug'], default: 'info' },
  },
  required: ['listen', 'stateDir'],
  additionalProperties: false,
} as unknown as JSONSchemaType<Config>;

async function file(
  t: { teardown(end: () => Promise<void>): void },
  text: string,
  mode = 0o600,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'meshsan-config-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'config.json');
  await writeFile(path, text, { mode });
  return path;
}

const RIGHT = { listen: { host: '127.0.0.1', port: 8443 }, stateDir: '/var/lib/x' };

test('a right configuration is read with its defaults', async (t) => {
  const path = await file(t, JSON.stringify(RIGHT));
  t.deepEqual(readConfigFile(path, SCHEMA), { ...RIGHT, level: 'info' });
});

for (const [what, content, message] of [
  [
    'an unknown key',
    { ...RIGHT, statDir: '/x' },
    /unknown key "statDir" in the file; did you mean "stateDir"\?/,
  ],
  [
    'an unknown key further in',
    { ...RIGHT, listen: { host: '127.0.0.1', port: 1, hots: 1 } },
    /unknown key "hots" in listen; did you mean "host"\?/,
  ],
  ['a missing key', { listen: RIGHT.listen }, /must have required property 'stateDir'/],
  [
    'a wrong type',
    { ...RIGHT, listen: { host: '127.0.0.1', port: '8443' } },
    /listen\.port must be integer/,
  ],
  [
    'a wrong range',
    { ...RIGHT, listen: { host: '127.0.0.1', port: 70_000 } },
    /listen\.port must be <= 65535/,
  ],
  ['a wrong word', { ...RIGHT, level: 'loud' }, /level must be one of \["info","debug"\]/],
  [
    'a host name for an address',
    { ...RIGHT, listen: { host: 'here', port: 1 } },
    /listen\.host must be an IP address/,
  ],
  ['a relative path', { ...RIGHT, stateDir: 'x' }, /stateDir must be an absolute path/],
] as const)
  test(`${what} is refused with its place and what would be right`, async (t) => {
    const path = await file(t, JSON.stringify(content));
    const error = t.throws(() => readConfigFile(path, SCHEMA), {
      instanceOf: ConfigError,
      message,
    });
    t.true(error.message.includes(path));
  });

test('a file that is not JSON, not there, or readable by others is refused', async (t) => {
  t.throws(() => readConfigFile('/nowhere/x.json', SCHEMA), { message: /cannot be read/ });
  const broken = await file(t, '{');
  t.throws(() => readConfigFile(broken, SCHEMA), { message: /it is not JSON/ });
  const open = await file(t, JSON.stringify(RIGHT), 0o644);
  t.throws(() => readConfigFile(open, SCHEMA), {
    message: /mode 0644; it must be readable by its owner only/,
  });
});

test('a secret is 64 hex digits in a private file', async (t) => {
  const secret = 'ab'.repeat(32);
  t.deepEqual(readSecretFile(await file(t, `${secret}\n`)), new Uint8Array(32).fill(0xab));
  const short = await file(t, 'abcd');
  const error = t.throws(() => readSecretFile(short), { instanceOf: PrivateFileError });
  t.false(error.message.includes('abcd'));
  const open = await file(t, secret, 0o640);
  t.throws(() => readSecretFile(open), { message: /owner only/ });
});

test('log lines are JSON, bounded, and withhold what sounds secret', async (t) => {
  const line = formatLine(0, 'info', 'gw', 'a.b', {
    path: '/x',
    password: 'p',
    authToken: 't',
    Authorization: 'b',
  });
  t.deepEqual(JSON.parse(line), {
    ts: '1970-01-01T00:00:00.000Z',
    lvl: 'info',
    comp: 'gw',
    evt: 'a.b',
    path: '/x',
    password: '[withheld]',
    authToken: '[withheld]',
    Authorization: '[withheld]',
  });
  const many = Object.fromEntries(
    Array.from({ length: 100 }, (_, index) => [`f${index}`, 'x'.repeat(600)]),
  );
  t.true(Buffer.byteLength(formatLine(0, 'warn', 'gw', 'big', many)) <= 4096);

  const path = await file(t, '');
  const log = openLog({ component: 'gw', level: 'warn', file: path });
  log.event('info', 'quiet', {});
  log.event('warn', 'loud', { n: 1 });
  await log.close();
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  t.is(lines.length, 1);
  t.regex(lines[0] ?? '', /"evt":"loud","n":1/);
});

test('passwords: right ones match, wrong ones and unknown users do not', async (t) => {
  const record = await hashPassword('Grüße-1');
  const checker = new PasswordChecker();
  t.true(await checker.matches('Grüße-1', record, 0));
  t.true(await checker.matches('Grüße-1', record, 1_000));
  t.false(await checker.matches('Grüße-2', record, 1_000));
  t.false(await checker.matches('Grüße-1', null, 1_000));
  const changed = await hashPassword('Other-22');
  t.false(await checker.matches('Grüße-1', changed, 1_000));
  t.notDeepEqual((await hashPassword('Grüße-1')).hash, record.hash);
});

test('passwords must be long and mixed', (t) => {
  t.is(passwordFault('Abcdef1'), null);
  t.regex(passwordFault('Ab1') ?? '', /at least 6/);
  t.regex(passwordFault('abcdefgh') ?? '', /mix three/);
  t.regex(passwordFault(`Ab1${'x'.repeat(200)}`) ?? '', /at most 128/);
});

test('failures in a row block for longer and longer, by name and place', (t) => {
  const throttle = new LoginThrottle();
  for (let failures = 0; failures < 5; failures += 1) {
    t.is(throttle.waitMs('a', 'here', 0), 0);
    throttle.note('a', 'here', false, 0);
  }
  t.is(throttle.waitMs('a', 'here', 0), 1_000);
  t.is(throttle.waitMs('a', 'there', 0), 0);
  t.is(throttle.waitMs('b', 'here', 0), 0);
  throttle.note('a', 'here', false, 1_000);
  t.is(throttle.waitMs('a', 'here', 1_000), 2_000);
  for (let failures = 0; failures < 20; failures += 1) throttle.note('a', 'here', false, 1_000);
  t.is(throttle.waitMs('a', 'here', 1_000), 60_000);
  throttle.note('a', 'here', true, 1_000);
  t.is(throttle.waitMs('a', 'here', 1_000), 0);
});
