// What the deployment test does to the MDM cluster that was deployed: who takes part as what, the master killed as a process
// and with its machine, a controller that another one takes the place of, an etcd of the operator's that is left alone.

import { readFileSync } from 'node:fs';
import { until } from '../support/until.js';
import type { Lab, Machine } from './machines.js';
import { expect } from './report.js';
import { Rest } from './rest.js';

const SCLI = 'scli --login --username admin </etc/meshsan/admin-password >/dev/null && scli';
const NORMAL = 'Mode: 3_node, State: Normal, Active: 3/3, Replicas: 2/2';
const OWN_ETCD = 'etcd.service';

interface ClusterSeen {
  readonly text: string;
  readonly master: string;
}

/** What scli on a controller says of the cluster; null: it got no answer. */
async function clusterSeen(from: Machine): Promise<ClusterSeen | null> {
  const { code, stdout } = await from.try('sh', '-c', `${SCLI} --query_cluster`);
  if (code !== 0) return null;
  return { text: stdout, master: /Master MDM:\n {4}Name: (\S+),/.exec(stdout)?.[1] ?? '' };
}

/** Waits until everybody takes part. */
async function untilNormal(from: Machine): Promise<ClusterSeen> {
  return until(`${NORMAL}, as ${from.name} sees it`, async () => {
    const seen = await clusterSeen(from);
    return seen?.text.includes(NORMAL) === true ? seen : null;
  });
}

/** @param roles - name of each MDM by the heading under which it is listed, the master's as one of the managers */
function expectRoles(
  { text, master }: ClusterSeen,
  managers: readonly string[],
  tieBreakers: readonly string[],
): void {
  const under = (title: string): string[] => {
    const [, part = ''] = text.split(`${title}:\n`);
    const lines = part.split('\n').filter((line, index, all) => {
      const end = all.findIndex((other) => !other.startsWith(' '));
      return index < (end < 0 ? all.length : end) && line.startsWith('    Name: ');
    });
    return lines.map((line) => /Name: (\S+),/.exec(line)?.[1] ?? '');
  };
  const found = [master, ...under('Slave MDMs')].sort();
  expect(found.join() === [...managers].sort().join(), `managers are ${found.join()}:\n${text}`);
  const breakers = under('Tie-Breakers');
  expect(breakers.join() === tieBreakers.join(), `tie-breakers are ${breakers.join()}:\n${text}`);
}

/** Three controllers are two managers and a tie-breaker, and every component knows all of them. */
export async function checkMembers(
  lab: Lab,
  managers: readonly string[],
  tieBreakers: readonly string[],
): Promise<string> {
  const [first = ''] = managers;
  const seen = await untilNormal(lab.machine(first));
  expectRoles(seen, managers, tieBreakers);
  const hosts = [...managers, ...tieBreakers].map((name) => lab.machine(name).spec.management);
  for (const file of ['sds', 'gateway', 'scli', 'sdc']) {
    const path = lab.machine(first).path(`/etc/meshsan/${file}.json`);
    const { mdm } = JSON.parse(readFileSync(path, 'utf8')) as { mdm: { host: string }[] };
    const known = mdm.map(({ host }) => host).sort();
    expect(known.join() === [...hosts].sort().join(), `${file}.json knows ${known.join()}`);
  }
  return `${NORMAL}; ${managers.join(', ')} managers, ${tieBreakers.join(', ')} tie-breaker`;
}

/** Debian's own etcd service as an operator uses it, with something in it. */
export async function layOwnEtcd(machine: Machine): Promise<string> {
  await machine.run('apt-get', 'install', '-y', '-q', '--no-install-recommends', 'etcd-server');
  await machine.run('systemctl', 'start', OWN_ETCD);
  return machine.run('systemctl', 'show', '-p', 'MainPID', '--value', OWN_ETCD);
}

/** @param pid - of that service before the deployment */
export async function checkOwnEtcd(
  lab: Lab,
  owner: Machine,
  pid: string,
  others: readonly string[],
): Promise<string> {
  const now = await owner.run('systemctl', 'show', '-p', 'MainPID', '--value', OWN_ETCD);
  expect(now === pid && pid !== '0', `the process of ${OWN_ETCD} was ${pid} and is ${now}`);
  for (const name of others) {
    const { stdout } = await lab.machine(name).try('systemctl', 'is-active', OWN_ETCD);
    expect(stdout !== 'active', `${OWN_ETCD} of ${name} is ${stdout}`);
  }
  const ports = await owner.run('ss', '-Hltn');
  const { management } = owner.spec;
  for (const port of [`${management}:9012`, `${management}:9013`, '127.0.0.1:2379'])
    expect(ports.includes(`${port} `), `${owner.name} does not listen at ${port}:\n${ports}`);
  return `${OWN_ETCD} of ${owner.name} is process ${pid} still, at 127.0.0.1:2379; ours at ${management}:9012`;
}

/** Time until a gateway answers what only a master knows. */
async function answersAgain(lab: Lab, host: string, password: string): Promise<number> {
  const began = Date.now();
  await until(`the API at ${host}`, async () => {
    const rest = new Rest(lab, host);
    try {
      await rest.login(password);
      return (await rest.names('System')).length === 1;
    } catch {
      // Not yet: what it says meanwhile is no matter.
      return false;
    }
  });
  return (Date.now() - began) / 1000;
}

interface Killing {
  readonly lab: Lab;
  /** Controllers that take part. */
  readonly members: readonly string[];
  readonly password: string;
}

async function masterAndOther({ lab, members }: Killing): Promise<[Machine, Machine]> {
  const [first = ''] = members;
  const { master } = await untilNormal(lab.machine(first));
  const other = members.find((name) => name !== master) ?? '';
  return [lab.machine(master), lab.machine(other)];
}

/** The master's process is killed: another manager answers, and the killed one comes back as standby. */
export async function killMasterProcess(killing: Killing): Promise<string> {
  const [machine, other] = await masterAndOther(killing);
  const pid = await machine.run('systemctl', 'show', '-p', 'MainPID', '--value', 'meshsan-mdm');
  await machine.run('kill', '-9', pid);
  const seconds = await answersAgain(killing.lab, other.spec.management, killing.password);
  const after = await untilNormal(other);
  return `${machine.name} killed, API after ${seconds.toFixed(1)} s, master ${after.master}`;
}

/** The machine of the master loses its power: the others answer; then it boots, and takes part again. */
export async function killMasterMachine(killing: Killing): Promise<string> {
  const [machine, other] = await masterAndOther(killing);
  await machine.kill();
  const seconds = await answersAgain(killing.lab, other.spec.management, killing.password);
  const after = await clusterSeen(other);
  expect(
    after !== null && after.master !== machine.name && after.text.includes('State: Degraded'),
    after?.text ?? 'no answer',
  );
  await machine.boot();
  await untilNormal(other);
  return `${machine.name} without power, API after ${seconds.toFixed(1)} s, master ${after.master}; it takes part again`;
}
