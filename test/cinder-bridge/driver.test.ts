// MeshSAN's Cinder driver inside Debian's own Cinder, through the bridge, against a cluster of processes that are killed and
// stopped on the way. The checks are in python/driver_judge.py.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import test from 'ava';

import type { Check } from '../compat/judges.js';
import { LocalCluster } from '../support/local-cluster.js';
import { until } from '../support/until.js';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const GATEWAY = join(ROOT, 'dist', 'backend', 'bin', 'gateway.js');
const BRIDGE = join(ROOT, 'dist', 'cinder-bridge', 'bin', 'cinder-bridge.js');
const PYTHON = '/usr/bin/python3';
const isRoot = process.getuid?.() === 0;

let cluster: LocalCluster;
const children: ChildProcess[] = [];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

function run(program: string, config: string): void {
  const log = openSync(`${config}.log`, 'a', 0o600);
  const child = spawn(process.execPath, [program, '--config', config], {
    stdio: ['ignore', 'ignore', log],
  });
  closeSync(log);
  children.push(child);
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    child.once('exit', () => {
      done();
    });
    if (child.exitCode !== null || child.signalCode !== null) done();
    child.kill('SIGTERM');
  });
}

const read = (path: string): Record<string, unknown> =>
  JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

function writeConfig(path: string, value: object): string {
  writeFileSync(path, JSON.stringify(value), { mode: 0o600 });
  return path;
}

/** A second gateway, and a second bridge that knows both gateways. @returns the bridge's socket */
async function startSecond(dir: string): Promise<string> {
  const port = await freePort();
  const stateDir = join(dir, 'gateway2');
  const caFile = join(dir, 'ca2.pem');
  const gateway = read(join(cluster.dir, 'config', 'gateway.json'));
  const listen = [{ host: '127.0.0.1', port }];
  run(GATEWAY, writeConfig(join(dir, 'gateway2.json'), { ...gateway, stateDir, caFile, listen }));
  await until('the second gateway made its authority', () => (existsSync(caFile) ? true : null));
  const bridge = read(join(cluster.dir, 'config', 'cinder-bridge.json'));
  const both = join(dir, 'ca-both.pem');
  writeFileSync(both, readFileSync(cluster.file.caFile, 'utf8') + readFileSync(caFile, 'utf8'));
  const socket = join(dir, 'bridge2.sock');
  const config = {
    ...bridge,
    gateways: [cluster.file.gateway, `https://127.0.0.1:${port}`],
    caFile: both,
    listen: { socket },
  };
  run(BRIDGE, writeConfig(join(dir, 'bridge2.json'), config));
  await until('the second bridge listens', () => (existsSync(socket) ? true : null));
  return socket;
}

test.before('a cluster with its bridge', async (t) => {
  t.timeout(240_000);
  const flags = ['--gateway-port', String(await freePort()), '--cinder-bridge'];
  cluster = await LocalCluster.start(...flags, ...(isRoot ? ['--attach'] : []));
});

test.after.always('nothing is left', async () => {
  await Promise.all(children.map(ended));
  await cluster.remove();
});

test('the driver in Debian’s Cinder: every call, and every way in which it can go wrong', async (t) => {
  t.timeout(600_000);
  const dir = join(cluster.dir, 'cinder');
  mkdirSync(dir, { mode: 0o700 });
  const second = await startSecond(dir);
  const here = join(ROOT, 'test');
  const judge = await execa(
    PYTHON,
    [join(here, 'cinder-bridge', 'python', 'driver_judge.py'), cluster.dir, dir, second, BRIDGE],
    {
      env: {
        PYTHONPATH: [
          join(ROOT, 'cinder-bridge', 'python'),
          join(here, 'cinder-bridge', 'python'),
          join(here, 'compat', 'python'),
        ].join(':'),
        PYTHONDONTWRITEBYTECODE: '1',
        NODE: process.execPath,
        ...(isRoot ? { ATTACHED: '1' } : {}),
      },
      ...{ stdin: 'ignore', timeout: 550_000, reject: false },
    },
  );
  const checks = judge.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Check);
  for (const { check, skipped } of checks)
    if (skipped !== undefined) t.log(`skipped: ${check}: ${skipped}`);
  t.is(judge.exitCode, 0, judge.stderr.slice(-3000));
  t.deepEqual(
    checks.filter(({ ok, skipped }) => !ok && skipped === undefined),
    [],
  );
  t.true(checks.length >= 25, `a judge that checks next to nothing: ${checks.length}`);
});
