// The agent of a node and the Cinder bridge, as the packages bring them: an operator asks the agent from the command line,
// brings other versions through it, and Cinder's user reaches the bridge. Part of the stories, in their machine.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { mainPid } from './cluster.js';
import type { Machine } from './machine.js';
import { until } from '../support/until.js';

const AGENT = '127.0.0.1';
const SIGNING_KEY = '/etc/meshsan/lia-signer-key.pem';
/** What the driver does: a signed request over the socket, whose answer must be signed too. */
const ASK_BRIDGE = `
from meshsan_cinder.client import BridgeClient
print(BridgeClient('/run/meshsan-cinder-bridge/bridge.sock', '/etc/meshsan/cinder-bridge-token').call('GET', '/v1/health'))
`;

interface Asked {
  readonly machine: Machine;
}

const debs = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.deb'))
    .map((name) => join(folder, name));

async function lia(machine: Machine, ...args: readonly string[]): Promise<string> {
  return machine.run('meshsan-lia', ...args, '--host', AGENT);
}

interface Report {
  readonly packages: readonly { readonly name: string; readonly version: string }[];
  readonly services: readonly { readonly unit: string; readonly state: string }[];
  readonly devices: readonly {
    readonly path: string;
    readonly content: { readonly kind: string };
    readonly inUse: string | null;
  }[];
}

const reportOf = async (machine: Machine): Promise<Report> =>
  JSON.parse(await lia(machine, 'report', '--json')) as Report;

export async function agentStory({ machine }: Asked): Promise<readonly string[]> {
  const setUp = ['meshsan-setup', 'lia', '--name', 'n1', '--listen', AGENT] as const;
  assert.match(await machine.run(...setUp), /"changed":true/);
  assert.match(await machine.run(...setUp), /"changed":false/);
  await machine.run('systemctl', 'start', 'meshsan-lia');
  await until('the agent answers', async () => {
    const { code } = await machine.try('meshsan-lia', 'jobs', '--host', AGENT);
    return code === 0;
  });
  const report = await reportOf(machine);
  const active = report.services.filter(({ state }) => state === 'active').map(({ unit }) => unit);
  for (const unit of ['meshsan-mdm', 'meshsan-sds', 'meshsan-sdc', 'meshsan-lia'])
    assert.ok(active.includes(unit), `${unit}: ${JSON.stringify(report.services)}`);
  const before = await mainPid(machine, 'meshsan-gateway');
  assert.match(await lia(machine, 'restart', 'gateway', '--id', 'r1'), /^r1 done/m);
  const after = await mainPid(machine, 'meshsan-gateway');
  assert.notEqual(after, before, 'it was restarted');
  assert.match(await lia(machine, 'restart', 'gateway', '--id', 'r1'), /^r1 done/m);
  assert.equal(await mainPid(machine, 'meshsan-gateway'), after, 'the same job again is no job');
  await lia(machine, 'restart', 'lia', '--id', 'self');
  await lia(machine, 'info', '--out', '/root/info.tar.gz');
  const files = await machine.run('tar', 'tzf', '/root/info.tar.gz');
  for (const name of [
    'configuration/sds.json',
    'journal/meshsan-mdm.log',
    'status/meshsan-sds.txt',
  ])
    assert.match(files, new RegExp(`meshsan-info-n1/${name}`));
  const content = await machine.run('tar', 'xzOf', '/root/info.tar.gz');
  for (const name of ['secret', 'admin-password', 'lia-token'])
    assert.ok(
      !content.includes(readFileSync(machine.path(`/etc/meshsan/${name}`), 'utf8').trim()),
      `the bundle holds ${name}`,
    );
  return [
    `${report.packages.length} packages, ${active.length} services, ${report.devices.length} block devices reported`,
  ];
}

/** Brings the packages of a folder to the node through its agent, which is replaced on the way. */
export async function agentInstallStory(
  { machine }: Asked,
  folder: string,
  version: string,
): Promise<readonly string[]> {
  const install = ['install', ...debs(folder), '--signing-key', SIGNING_KEY];
  const refused = await machine.try('meshsan-lia', ...install, '--host', AGENT);
  assert.equal(refused.code, 1, refused.stderr);
  assert.equal(refused.stderr, '');
  assert.match(refused.stdout, /is lower than what is installed/);
  const agent = await mainPid(machine, 'meshsan-lia');
  const said = await lia(machine, ...install, '--allow-downgrade', '--id', 'bring');
  assert.match(said, /^bring done: installation of \d+ package files: done$/m);
  assert.notEqual(await mainPid(machine, 'meshsan-lia'), agent, 'the agent was replaced too');
  const { packages } = await reportOf(machine);
  assert.deepEqual([...new Set(packages.map((row) => row.version))], [version]);
  const left = await machine.run(
    'systemctl',
    'list-units',
    '--all',
    '--no-legend',
    'meshsan-lia-job-*',
  );
  assert.equal(left.trim(), '', 'no unit of a job is left');
  const again = await lia(machine, ...install, '--id', 'again');
  assert.match(again, /^again done: all of it is installed already$/m);
  return [
    `${packages.length} packages are ${version}; the agent was replaced in the middle and knew how it ended`,
  ];
}

export async function bridgeStory({ machine }: Asked): Promise<readonly string[]> {
  await machine.shell(
    'id cinder > /dev/null 2>&1 || adduser --system --group --no-create-home --home /nonexistent --quiet cinder',
  );
  const gateway = ['--gateway', 'https://127.0.0.1:4443', '--username', 'admin'];
  const setUp = ['meshsan-setup', 'cinder-bridge', ...gateway];
  assert.match(await machine.run(...setUp), /"changed":true/);
  assert.match(await machine.run(...setUp), /"changed":false/);
  const password = '/etc/meshsan/cinder-bridge-password';
  await machine.run('install', '-m', '0600', '/etc/meshsan/admin-password', password);
  await machine.run('systemctl', 'start', 'meshsan-cinder-bridge');
  const ask = ['setpriv', '--reuid=cinder', '--regid=cinder', '--clear-groups', '/usr/bin/python3'];
  let health = '';
  await until('the bridge answers the driver', async () => {
    const { code, stdout } = await machine.try(...ask, '-c', ASK_BRIDGE);
    health = stdout;
    return code === 0;
  });
  const pid = await mainPid(machine, 'meshsan-cinder-bridge');
  const user = await machine.run('ps', '-o', 'user:32=', '-p', String(pid));
  assert.equal(user.trim(), 'cinder');
  await machine.run('kill', '-9', String(pid));
  await until('the bridge is back', async () => {
    const now = await mainPid(machine, 'meshsan-cinder-bridge');
    const { code } = await machine.try(...ask, '-c', ASK_BRIDGE);
    return now !== pid && code === 0;
  });
  return [`runs as cinder, answers the driver (${health.slice(0, 60)}), also after kill -9`];
}
