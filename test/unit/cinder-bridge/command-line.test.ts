// The bridge as a program: flags, configuration and its faults, exit codes, the socket that a killed bridge left.

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

const PROGRAM = join(
  import.meta.dirname,
  ...['..', '..', '..', 'cinder-bridge', 'bin', 'cinder-bridge.js'],
);
const dir = mkdtempSync(join(tmpdir(), 'meshsan-bridge-cli-'));

test.after.always(() => {
  rmSync(dir, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { timeout: 60_000 }, (error, out, err) => {
      const { code } = (error ?? { code: 0 }) as { code?: number | string };
      resolve({ code: typeof code === 'number' ? code : -1, out, err });
    });
  });
}

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
  requestTimeoutSeconds: 5,
};

let count = 0;
const config = (changes: object = {}, mode = 0o600): string =>
  file(`config-${++count}.json`, JSON.stringify({ ...GOOD, ...changes }), mode);

test('help and version say what there is', async (t) => {
  const { code, out } = await run('--help');
  t.is(code, 0);
  for (const word of ['orphans', 'repair', 'ledger', '--known', '--min-age', 'Exit codes'])
    t.true(out.includes(word), word);
  t.regex((await run('--version')).out, /^\d+\.\d+\.\d+\n$/);
});

test('wrong flags are exit code 2 and a sentence', async (t) => {
  for (const [args, reason] of [
    [['--nope'], /--nope/],
    [
      ['fly', '--config', config()],
      /unknown command "fly": check, health, ledger, orphans, repair/,
    ],
    [['orphans', '--config', config()], /--known is needed/],
    [
      ['orphans', '--config', config(), '--known', join(dir, 'none')],
      /--known .*none cannot be used/,
    ],
    [
      ['orphans', '--config', config(), '--known', file('k', '{}')],
      /is not what meshsan-cinder-known/,
    ],
  ] as const) {
    const { code, err } = await run(...args);
    t.is(code, 2, err);
    t.regex(err, reason);
  }
});

test('a configuration is checked before anything starts', async (t) => {
  t.is((await run('check', '--config', config())).out, 'the configuration can be used\n');
  const { code, err } = await run('check', '--config', config({ gatway: 1 }));
  t.is(code, 2);
  t.regex(err, /unknown key "gatway" in the file; did you mean "gateways"\?/);
});

test('without a gateway: health says down, commands fail with the reason', async (t) => {
  const health = await run('health', '--config', config(), '--json');
  t.is(health.code, 1);
  t.like(JSON.parse(health.out), { status: 'down' });
  const ledger = await run('ledger', '--config', config());
  t.is(ledger.code, 1);
  t.regex(ledger.err, /No MeshSAN gateway answered in time: https:\/\/127\.0\.0\.1:1/);
});

const children: ChildProcess[] = [];

test.after.always(() => {
  for (const child of children) child.kill('SIGKILL');
});

const answers = (socket: string): Promise<boolean> =>
  new Promise((done) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      done(true);
    });
    probe.once('error', () => {
      done(false);
    });
  });

async function answering(child: ChildProcess, socket: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await answers(socket))) {
    if (Date.now() > deadline || child.exitCode !== null) throw new Error('it does not answer');
    await new Promise((done) => setTimeout(done, 50));
  }
}

const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((done) => {
    child.once('exit', done);
  });

test('the socket is private, one bridge has it, a killed one leaves it to the next', async (t) => {
  const socket = join(dir, 'own.sock');
  const path = config({ listen: { socket } });
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, [PROGRAM, '--config', path], { stdio: 'ignore' });
    children.push(child);
    return child;
  };
  const first = start();
  await answering(first, socket);
  t.is(statSync(socket).mode & 0o777, 0o600);
  const second = await run('--config', path);
  t.is(second.code, 3);
  t.regex(second.err, /another bridge serves/);
  const killed = ended(first);
  first.kill('SIGKILL');
  await killed;
  t.true(existsSync(socket), 'a killed bridge leaves its socket');
  const third = start();
  await answering(third, socket);
  const stopped = ended(third);
  third.kill('SIGTERM');
  t.is(await stopped, 0);
  t.is((await run('--config', config({ listen: { socket: file('plain', 'x') } }))).code, 3);
});
