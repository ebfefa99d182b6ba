// A real agent and the command line that asks it, over TLS in which both prove that they know the token. Only systemd is
// played by scripts: they keep units as files, so that an agent that is killed finds what it left.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, request } from 'node:https';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import test from 'ava';
import { execa } from 'execa';

import type { Job, NodeReport } from '../../../backend/protocol/lia.js';
import { packageStatement } from '../../../backend/protocol/lia.js';
import { LIMITS } from '../../../backend/protocol/tables/limits.js';
import { LiaClient } from '../../../backend/runtime/node-agent/client.js';
import { clientAgent, serverOptions } from '../../../backend/runtime/node-agent/pre-shared-tls.js';
import {
  sha256Of,
  signPackage,
  signerKey,
  signerPair,
  signingKey,
  vouches,
} from '../../../backend/runtime/node-agent/signature.js';

const BIN = join(import.meta.dirname, '..', '..', '..', 'backend', 'bin');
const HOST = `127.${100 + (process.pid % 100)}.${(process.pid >> 8) % 250}.1`;
const WAIT_MS = 60_000;
const scratch = mkdtempSync(join(tmpdir(), 'meshsan-lia-'));
const units = join(scratch, 'units');
const tools = join(scratch, 'tools');
const token = join(scratch, 'token');
const key = join(scratch, 'key.pem');
let agent: ChildProcess | null = null;

/** Units are folders: "code" is there when the program has ended. */
const SYSTEMCTL = `#!/bin/sh
action=$1; shift
case $action in
list-units) cd "$UNITS"; for unit in meshsan-lia-job-*; do [ ! -d "$unit" ] || echo "$unit"; done ;;
show) first=1
  for unit; do case $unit in -*) continue ;; esac
    [ $first = 1 ] || echo; first=0
    place="$UNITS/$unit"
    if [ ! -d "$place" ]; then printf 'LoadState=not-found\\nActiveState=inactive\\n'; continue; fi
    echo LoadState=loaded
    case $unit in
    meshsan-lia-job-*)
      if [ ! -e "$place/code" ]; then echo ActiveState=activating; continue; fi
      read -r code < "$place/code"
      if [ "$code" = 0 ]; then printf 'ActiveState=active\\nResult=success\\n'
      else printf 'ActiveState=failed\\nResult=exit-code\\n'; fi
      echo "ExecMainStatus=$code" ;;
    *) printf 'ActiveState=%s\\nUnitFileState=enabled\\nMainPID=7\\nNRestarts=2\\nStateChangeTimestampMonotonic=5000000\\n' "$(cat "$place/state")" ;;
    esac
  done ;;
restart | start) echo "$action" >> "$UNITS/$1/done"; echo active > "$UNITS/$1/state" ;;
stop | reset-failed) [ "$1" != -- ] || shift; rm -rf "$UNITS/$1" ;;
esac
`;
const SYSTEMD_RUN = `#!/bin/sh
for word; do case $word in --unit=*) unit="\${word#--unit=}.service" ;; --property=StandardOutput=truncate:*) output="\${word#*truncate:}" ;; --) shift; break ;; esac; shift; done
mkdir "$UNITS/$unit"
(sleep "\${JOB_SECONDS:-0}"; "$@" > "$output" 2>&1; echo $? > "$UNITS/$unit/code.new"; mv "$UNITS/$unit/code.new" "$UNITS/$unit/code") < /dev/null > /dev/null 2>&1 &
`;

async function until(what: string, probe: () => boolean): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!probe()) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await pause(30);
  }
}

async function startAgent(seconds = 0): Promise<void> {
  const log = join(scratch, 'agent.log');
  writeFileSync(log, '');
  agent = spawn(process.execPath, [join(BIN, 'lia.js'), '--config', join(scratch, 'lia.json')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      PATH: `${tools}${delimiter}${process.env['PATH'] ?? ''}`,
      UNITS: units,
      JOB_SECONDS: String(seconds),
    },
  });
  agent.stderr?.on('data', (chunk: Buffer) => {
    appendFileSync(log, chunk);
  });
  await until('the agent serves', () => {
    if (agent?.exitCode !== null) throw new Error(readFileSync(log, 'utf8'));
    return readFileSync(log, 'utf8').includes('lia.started');
  });
}

async function killAgent(): Promise<void> {
  const running = agent;
  if (running === null) return;
  const ended = new Promise((done) => running.once('exit', done));
  running.kill('SIGKILL');
  await ended;
  agent = null;
}

async function ask(...args: string[]) {
  const all = [join(BIN, 'meshsan-lia.js'), ...args, '--host', HOST, '--token-file', token];
  const { exitCode, stdout, stderr } = await execa(process.execPath, all, {
    reject: false,
    stdin: 'ignore',
    cwd: scratch,
  });
  return { exitCode, stdout, stderr };
}

test.before(async () => {
  for (const folder of [units, tools]) mkdirSync(folder);
  for (const [name, text] of [
    ['systemctl', SYSTEMCTL],
    ['systemd-run', SYSTEMD_RUN],
  ] as const)
    writeFileSync(join(tools, name), text, { mode: 0o755 });
  writeFileSync(token, 'ab'.repeat(32), { mode: 0o600 });
  const { publicPem, privatePem } = signerPair(Buffer.alloc(32, 7));
  writeFileSync(key, privatePem, { mode: 0o600 });
  writeFileSync(join(scratch, 'signer.pem'), publicPem);
  const config = {
    name: 'n1',
    listen: [{ host: HOST, port: 9099 }],
    tokenFile: token,
    signerFile: join(scratch, 'signer.pem'),
    stateDir: join(scratch, 'state'),
  };
  writeFileSync(join(scratch, 'lia.json'), JSON.stringify(config), { mode: 0o600 });
  mkdirSync(join(units, 'meshsan-sds.service'));
  writeFileSync(join(units, 'meshsan-sds.service', 'state'), 'active\n');
  await startAgent();
});
test.after.always(async () => {
  await killAgent();
  rmSync(scratch, { recursive: true, force: true });
});

test.serial('a report names the services, addresses and devices of the node', async (t) => {
  const { exitCode, stdout } = await ask('report', '--json');
  t.is(exitCode, 0);
  const report = JSON.parse(stdout) as NodeReport;
  t.is(report.name, 'n1');
  const sds = report.services.find(({ unit }) => unit === 'meshsan-sds');
  t.like(sds, { state: 'active', startsAtBoot: true, pid: 7, restarts: 2 });
  t.true(
    Math.abs((sds?.sinceMs ?? 0) - (Date.now() - report.uptimeSeconds * 1000) - 5000) < 60_000,
  );
  t.like(
    report.services.find(({ unit }) => unit === 'meshsan-mdm'),
    { state: 'absent' },
  );
  t.is(report.devicesFault, null);
  t.true(report.devices.every(({ path, sizeBytes }) => path.startsWith('/dev/') && sizeBytes >= 0));
  const text = await ask('report');
  t.regex(text.stdout, /meshsan-sds +active +since .* +starts at boot +2 restarts/);
});

test.serial('whoever does not know the token is not answered', async (t) => {
  const other = join(scratch, 'other-token');
  writeFileSync(other, 'cd'.repeat(32), { mode: 0o600 });
  const args = [join(BIN, 'meshsan-lia.js'), 'report', '--host', HOST, '--token-file', other];
  const { exitCode, stderr } = await execa(process.execPath, args, { reject: false });
  t.is(exitCode, 4);
  t.regex(stderr, /does not know the same token, or is no agent of ours/);
  // Neither without any key, over plain TLS.
  await t.throwsAsync(
    new Promise((_, failed) => {
      request({ host: HOST, port: 9099, rejectUnauthorized: false }).once('error', failed).end();
    }),
  );
});

test.serial('connections of those who do not know it keep nobody out', async (t) => {
  const held: Socket[] = [];
  try {
    for (let i = 0; i < 2 * LIMITS.liaConnectionsMax.value; i++) {
      const socket = connect({ host: HOST, port: 9099 });
      held.push(socket);
      // Being closed is what happens to most of them.
      socket.on('error', () => undefined);
      await new Promise((done) => socket.once('connect', done));
    }
    const { exitCode, stderr } = await ask('jobs');
    t.is(exitCode, 0, stderr);
  } finally {
    for (const socket of held) socket.destroy();
  }
});

test.serial('a service is restarted once, however often the same job is asked for', async (t) => {
  for (let i = 0; i < 2; i += 1) {
    const { exitCode, stdout } = await ask('restart', 'sds', '--id', 'restart-1');
    t.is(exitCode, 0);
    t.is(stdout, 'restart-1 done: restart meshsan-sds: done');
  }
  t.is(readFileSync(join(units, 'meshsan-sds.service', 'done'), 'utf8'), 'restart\n');
  await until('the unit of the job is released', () =>
    readdirSync(units).every((name) => !name.startsWith('meshsan-lia-job')),
  );
  const other = await ask('stop', 'sds', '--id', 'restart-1');
  t.is(other.exitCode, 1);
  t.regex(other.stderr, /Another job has this id: restart-1 was restart meshsan-sds/);
});

test.serial('an agent that is killed in the middle of a job says how it ended', async (t) => {
  await killAgent();
  await startAgent(2);
  const { stdout } = await ask('restart', 'sds', '--id', 'long', '--no-wait', '--json');
  t.true(['waiting', 'running'].includes((JSON.parse(stdout) as Job).state));
  await until('the job runs', () => existsSync(join(units, 'meshsan-lia-job-long.service')));
  await killAgent();
  await startAgent();
  const again = await ask('restart', 'sds', '--id', 'long');
  t.is(again.stdout, 'long done: restart meshsan-sds: done');
  const done = readFileSync(join(units, 'meshsan-sds.service', 'done'), 'utf8');
  t.is(done, 'restart\nrestart\n', 'once more, and not twice');
});

test.serial('only what the enrolled signer vouches for is taken', async (t) => {
  const file = join(scratch, 'package.deb');
  writeFileSync(file, 'no package at all');
  const stranger = join(scratch, 'stranger.pem');
  writeFileSync(stranger, signerPair(Buffer.alloc(32, 8)).privatePem, { mode: 0o600 });
  const foreign = await ask('install', file, '--signing-key', stranger);
  t.is(foreign.exitCode, 1);
  t.regex(foreign.stderr, /not trusted: the signature is not one of the enrolled signer/);
  const signed = await ask('sign', file, '--signing-key', key);
  t.is(signed.exitCode, 0, signed.stderr);
  const none = await ask('install', file);
  t.is(none.exitCode, 1);
  t.regex(none.stderr, /The package file is refused: it is no Debian package/);
  t.deepEqual(
    readdirSync(join(scratch, 'state', 'packages')).filter((name) => name.endsWith('.deb')),
    [],
    'nothing of it is kept',
  );
});

test.serial('a package of somebody else is refused although it is signed', async (t) => {
  const tree = join(scratch, 'tree');
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  const control =
    'Package: evil\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n';
  writeFileSync(join(tree, 'DEBIAN', 'control'), control);
  const file = join(scratch, 'evil.deb');
  await execa('dpkg-deb', ['--build', tree, file]);
  const { exitCode, stdout } = await ask('install', file, '--signing-key', key, '--id', 'evil');
  t.is(exitCode, 1);
  t.regex(stdout, /evil failed: evil is none of our packages/);
  // A kept file that changes is found out before it is used.
  const sha256 = await sha256Of(file);
  appendFileSync(join(scratch, 'state', 'packages', `${sha256}.deb`), 'x');
  const changed = await ask('install', file, '--signing-key', key, '--id', 'evil-2');
  t.regex(changed.stdout + changed.stderr, /none of our packages|was changed/);
});

test.serial('a support bundle is a tar that holds the report and no secret', async (t) => {
  const out = join(scratch, 'info.tar.gz');
  t.is((await ask('info', '--out', out)).exitCode, 0);
  const { stdout } = await execa('tar', ['tzf', out]);
  for (const name of ['report.json', 'jobs.json', 'packages.txt', 'system/meminfo'])
    t.true(stdout.includes(`meshsan-info-n1/${name}`), stdout);
  const { stdout: report } = await execa('tar', ['xzOf', out, 'meshsan-info-n1/report.json']);
  t.is((JSON.parse(report) as NodeReport).name, 'n1');
  const { stdout: all } = await execa('tar', ['xzOf', out]);
  t.false(all.includes('ab'.repeat(32)));
  t.is((await ask('info', '--out', out)).exitCode, 2, 'a file that is there is not replaced');
});

interface Raw {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
}

/** What the agent answers to a request that no client of ours would send. */
function raw({ method, path, body }: Raw): Promise<{ status: number; text: string }> {
  const options = {
    ...{ host: HOST, port: 9099, method, path },
    agent: clientAgent(Buffer.from('ab'.repeat(32), 'hex')),
  };
  return new Promise((done, failed) => {
    request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.once('end', () => {
        done({ status: response.statusCode ?? 0, text });
      });
    })
      .once('error', failed)
      .end(body);
  });
}

const WRONG: readonly (readonly [Raw, number, RegExp])[] = [
  [{ method: 'GET', path: '/api/v1/nothing' }, 500, /NOT_FOUND/],
  [{ method: 'GET', path: '/api/v1/jobs/a%2f..%2fb' }, 400, /id must be of letters/],
  [{ method: 'PUT', path: '/api/v1/jobs/a', body: '{' }, 400, /INVALID_PARAMETER/],
  [{ method: 'PUT', path: '/api/v1/jobs/a', body: '{"kind":"shell"}' }, 400, /kind/],
  [
    {
      method: 'PUT',
      path: '/api/v1/jobs/a',
      body: '{"kind":"service","unit":"sshd","action":"stop"}',
    },
    400,
    /unit must be one of/,
  ],
  [
    { method: 'PUT', path: '/api/v1/jobs/a', body: JSON.stringify({ kind: 'x'.repeat(100_000) }) },
    400,
    /too large/,
  ],
  [{ method: 'PUT', path: '/api/v1/packages/xyz', body: 'x' }, 400, /64 lower-case hex digits/],
  [
    { method: 'PUT', path: `/api/v1/packages/${'0'.repeat(64)}`, body: 'x' },
    403,
    /holds no signature/,
  ],
];
for (const [wrong, status, words] of WRONG)
  test.serial(
    `refused: ${wrong.method} ${wrong.path} ${(wrong.body ?? '').slice(0, 30)}`,
    async (t) => {
      const answer = await raw(wrong);
      t.regex(answer.text, words);
      t.is(answer.status, status);
    },
  );

for (const [args, words] of [
  [['reprot'], /unknown command "reprot"; did you mean "report"\?/],
  [['restart', 'sshd'], /restart needs one of meshsan-mdm/],
  [['report', 'more'], /unexpected "more"/],
  [['job', '../x'], /job needs the id of one job/],
  [['install', '/nowhere.deb'], /\/nowhere\.deb is no file/],
  [['report', '--host', 'host1'], /--host "host1" must be IP or IP:PORT/],
] as const)
  test.serial(`wrong usage: ${args.join(' ')}`, async (t) => {
    const { exitCode, stderr } = await ask(...args);
    t.is(exitCode, 2);
    t.regex(stderr, words);
  });

test('an answer that cannot be read is told of the node that gave it', async (t) => {
  const secret = Buffer.alloc(32, 7);
  const server = createServer(serverOptions(secret), (_, response) => response.end('<html>'));
  await new Promise<void>((done) => server.listen(0, HOST, done));
  const node = new LiaClient(HOST, (server.address() as AddressInfo).port, secret);
  try {
    const words = new RegExp(`^${HOST}: answer 200 cannot be read: `);
    await t.throwsAsync(node.report(), { name: 'AgentError', message: words });
  } finally {
    node.close();
    server.close();
  }
});

test('a signature is for one file and one purpose', (t) => {
  const { publicPem, privatePem } = signerPair(Buffer.alloc(32, 1));
  const signer = signerKey(publicPem, 'x');
  const signature = signPackage(signingKey(privatePem, 'x'), 'a'.repeat(64));
  t.true(vouches(signer, 'a'.repeat(64), signature));
  t.false(vouches(signer, 'b'.repeat(64), signature));
  t.false(vouches(signer, 'a'.repeat(64), ''));
  t.is(packageStatement('x'), 'meshsan package x\n');
  t.throws(() => signerKey('no key', 'signer.pem'), {
    message: /signer\.pem must hold a public key/,
  });
});
