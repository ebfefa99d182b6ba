// What the deployment test asks of the nodes' agents: that each runs from the packages that were built, answers who knows the
// key and nobody else, may do no more than its unit says, comes back, and is missed by the deployment's own check when it is
// gone.

import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { VERSION } from '../../backend/core/version.js';
import { LIA_PORT } from '../../backend/protocol/lia.js';
import type { NodeReport } from '../../backend/protocol/lia.js';
import type { Output } from '../support/nspawn.js';
import { until } from '../support/until.js';
import type { Lab, Machine } from './machines.js';
import { expect } from './report.js';

export const AGENT_UNIT = 'meshsan-lia';
const PACKAGES = ['meshsan-lia', 'meshsan-runtime'];
const TOKEN = '/etc/meshsan/lia-token';
const WRONG_TOKEN = '/root/wrong-token';
/** `systemd-analyze security` counts tenths here; 100 is a service without any restriction. */
const EXPOSURE_MAX = 25;
/** CAP_DAC_READ_SEARCH alone, as /proc shows it. */
const CAPABILITIES = '0000000000000004';
/** What the deployer ends with when a check refuses. */
const REFUSED = 3;
const READ_ONLY_PLACES = ['/etc/meshsan', '/usr/lib/meshsan', '/var/lib/dpkg', '/root'];

async function mainPid(machine: Machine): Promise<string> {
  return machine.run('systemctl', 'show', '-p', 'MainPID', '--value', AGENT_UNIT);
}

/** Asks an agent from a machine with its own token, or with another one. */
function ask(from: Machine, host: string, command: string, token = TOKEN): Promise<Output> {
  return from.try('meshsan-lia', command, '--host', host, '--token-file', token, '--json');
}

/** The process runs from our packages as they were built, with the rights of its unit and no others. */
async function checkProcess(machine: Machine): Promise<void> {
  const { name } = machine;
  const state = await machine.run('systemctl', 'is-enabled', AGENT_UNIT);
  const active = await machine.try('systemctl', 'is-active', AGENT_UNIT);
  expect(state === 'enabled' && active.stdout === 'active', `${name}: ${state} ${active.stdout}`);
  const differing = await machine.try('dpkg', '--verify', ...PACKAGES);
  expect(differing.code === 0 && differing.stdout === '', `${name}: ${differing.stdout}`);
  const pid = await mainPid(machine);
  const program = await machine.run('readlink', `/proc/${pid}/exe`);
  expect(program === '/usr/lib/meshsan/bin/node', `${name}: the agent is ${program}`);
  const status = await machine.run('cat', `/proc/${pid}/status`);
  for (const line of [`CapBnd:\t${CAPABILITIES}`, 'NoNewPrivs:\t1', 'Seccomp:\t2'])
    expect(status.split('\n').includes(line), `${name}: no ${line} in ${status}`);
  for (const place of READ_ONLY_PLACES) {
    // As root of the machine, but in the mounts of the agent.
    const wrote = await machine.try('nsenter', '-t', pid, '-m', 'touch', `${place}/by-agent`);
    expect(wrote.code !== 0, `${name}: the agent could write to ${place}`);
  }
  const judged = await machine.try(
    ...['systemd-analyze', 'security', '--no-pager', `--threshold=${EXPOSURE_MAX}`],
    `${AGENT_UNIT}.service`,
  );
  expect(judged.code === 0, `${name}: ${judged.stdout}${judged.stderr}`);
  expect((statSync(machine.path(TOKEN)).mode & 0o077) === 0, `${name}: others may read ${TOKEN}`);
}

/** What the agent at an address says is right for that node. */
async function checkReport(from: Machine, machine: Machine): Promise<number> {
  const { management, storage, name } = machine.spec;
  const { code, stdout, stderr } = await ask(from, management, 'report');
  expect(code === 0, `${name}: ${stdout}${stderr}`);
  const report = JSON.parse(stdout) as NodeReport;
  expect(report.name === name && report.hostName === name, `${name} says it is ${report.name}`);
  const wrong = report.packages.filter(
    ({ name: of, state, version }) =>
      state !== 'installed' || (of.startsWith('meshsan-') && version !== VERSION),
  );
  expect(wrong.length === 0, `${name}: ${JSON.stringify(wrong)}`);
  expect(
    PACKAGES.every((wanted) => report.packages.some((row) => row.name === wanted)),
    `${name}: ${JSON.stringify(report.packages)}`,
  );
  const own = report.services.find(({ unit }) => unit === AGENT_UNIT);
  expect(own?.pid === Number(await mainPid(machine)), `${name}: ${JSON.stringify(own)}`);
  const elsewhere = await ask(from, storage, 'jobs');
  expect(elsewhere.code !== 0, `${name}: the agent listens at ${storage} too`);
  return report.packages.length;
}

const isStranger = ({ code, stdout, stderr }: Output): boolean =>
  code !== 0 && (stdout + stderr).includes('does not know the same token');

/** A node of another environment cannot ask the agent with its own key. */
export async function checkForeign(from: Machine, machine: Machine): Promise<void> {
  const asked = await ask(from, machine.spec.management, 'report');
  expect(isStranger(asked), `${from.name} got ${asked.code} ${asked.stdout}${asked.stderr}`);
}

/** Who does not know the token gets no answer. */
async function checkStrangers(from: Machine, machine: Machine): Promise<void> {
  const { management } = machine.spec;
  const wrong = await ask(from, management, 'report', WRONG_TOKEN);
  expect(
    isStranger(wrong),
    `${machine.name}, another token: ${wrong.code} ${wrong.stdout}${wrong.stderr}`,
  );
  for (const scheme of ['https', 'http']) {
    const url = `${scheme}://${management}:${LIA_PORT}/api/v1/report`;
    const got = await from.try('curl', '-ksS', '--max-time', '20', url);
    expect(got.code !== 0 && got.stdout === '', `${url}: ${got.code} ${got.stdout}`);
  }
}

/** Every node's agent runs, answers with the key only, and is hardened. @param names - of nodes; the first one asks */
export async function checkAgents(lab: Lab, names: readonly string[]): Promise<string> {
  const [first = ''] = names;
  const from = lab.machine(first);
  writeFileSync(from.path(WRONG_TOKEN), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
  const counts: number[] = [];
  for (const machine of names.map((name) => lab.machine(name))) {
    await checkProcess(machine);
    counts.push(await checkReport(from, machine));
    await checkStrangers(from, machine);
  }
  return `${names.length} agents of ${VERSION}, ${counts.join(', ')} packages`;
}

/** The deployment's own check, once, from the node whose task it is. */
export function verify(from: Machine): Promise<Output> {
  return from.try('meshsan-deploy', 'task', 'verify', '--facts', '/etc/astute.yaml', '--dry-run');
}

/** The deployment's own check misses an agent that is gone, and one that knows another key. */
export async function checkMissed(from: Machine, machine: Machine): Promise<string> {
  const refused = async (why: string): Promise<string> => {
    const { code, stdout, stderr } = await verify(from);
    const line = `${stdout}\n${stderr}`
      .split('\n')
      .find((text) => text.includes(`the agent of ${machine.name}: `) && text.includes(why));
    expect(code === REFUSED && line !== undefined, `exit ${code}: ${stdout}${stderr}`);
    return line;
  };
  await machine.run('systemctl', 'stop', AGENT_UNIT);
  const said = await refused('nobody listens there');
  const token = readFileSync(machine.path(TOKEN), 'utf8');
  writeFileSync(machine.path(TOKEN), `${randomBytes(32).toString('hex')}\n`);
  await machine.run('systemctl', 'start', AGENT_UNIT);
  await until('another key is noticed', async () => {
    const { stderr, stdout } = await verify(from);
    return `${stdout}${stderr}`.includes('does not know the same token');
  });
  await refused('does not know the same token');
  writeFileSync(machine.path(TOKEN), token);
  await machine.run('systemctl', 'restart', AGENT_UNIT);
  await until('the check passes again', async () => (await verify(from)).code === 0);
  return said;
}
