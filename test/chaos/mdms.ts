// An MDM cluster in a rig: two more nodes, each with a member of etcd, taken in once the first has begun the system. It owns
// their configuration and that one switch; what happens to them is the plan's.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ProcessPlan } from '../../backend/deploy/local/configs.js';
import { ADMIN_NAME } from '../../backend/deploy/local/layout.js';
import type { Layout, Paths } from '../../backend/deploy/local/layout.js';
import { changed } from '../../backend/runtime/cluster-change.js';
import { ClusterError } from '../../backend/runtime/cluster.js';
import type { MdmSession } from '../../backend/runtime/mdm-session.js';
import { etcdProgram } from '../support/etcd-cluster.js';
import { until } from '../support/until.js';
import { mdmNames } from './plan.js';

/** Of the second MDM, on the network of the others. */
const FIRST_HOST = 5;
const PREFIX = '/meshsan/chaos';
/** A node that has just started, or looks for its master, says one of these. */
const LATER: readonly string[] = ['MDM_NOT_CONNECTED', 'NOT_READY', 'NOT_MASTER', 'CLUSTER_BUSY'];

type Config = Record<string, unknown>;

const read = (file: string): Config => JSON.parse(readFileSync(file, 'utf8')) as Config;
const write = (file: string, config: Config): void => {
  writeFileSync(file, JSON.stringify(config, null, 2), { mode: 0o600 });
};

/** Adds MDMs to the processes of a rig, and tells everybody where all of them are. */
export function addMdms(paths: Paths, layout: Layout, plans: ProcessPlan[], count: number): void {
  const first = plans.find(({ role }) => role === 'mdm');
  if (first === undefined) throw new Error('the cluster has no MDM');
  const cluster = { prefix: PREFIX, program: etcdProgram() };
  const { initialAdmin, ...common } = read(first.configFile);
  write(first.configFile, { ...common, initialAdmin, cluster });
  for (const [index, name] of mdmNames(count).slice(1).entries()) {
    const address = `${layout.network}.${FIRST_HOST + index}`;
    const stateDir = join(paths.dir, name);
    const configFile = join(paths.config, `${name}.json`);
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const addresses = [{ host: address, role: 'all' }];
    write(configFile, { ...common, ...{ name, stateDir, addresses, cluster } });
    plans.push({ ...first, name, address, stateDir, configFile });
  }
  const mdm = plans
    .filter(({ role }) => role === 'mdm')
    .map(({ address, port }) => ({ host: address, port }));
  for (const { role, configFile } of plans)
    if (role !== 'mdm') write(configFile, { ...read(configFile), mdm });
}

/** Takes the other MDMs in, the last as tie-breaker, and switches to the cluster of all. */
export async function formCluster(mdm: MdmSession, plans: readonly ProcessPlan[]): Promise<void> {
  const others = plans.filter(({ role }) => role === 'mdm').slice(1);
  for (const { name, address } of others) {
    const role = name === others.at(-1)?.name ? 'tieBreaker' : 'manager';
    const ports = { port: 0, clientPort: 0, peerPort: 0 } as const;
    const params = { name, host: address, role, clean: false, ...ports } as const;
    await insisting(`${name} is taken in`, () =>
      mdm.command('ADD_STANDBY_MDM', ADMIN_NAME, params),
    );
  }
  const { members } = await mdm.clusterState();
  const add = members
    .filter(({ name }) => others.some((one) => one.name === name))
    .map(({ key }) => key);
  const params = { mode: others.length + 1, add, remove: [], allowFailed: false };
  const { job } = await insisting('the cluster is switched', () =>
    mdm.command('SWITCH_CLUSTER', ADMIN_NAME, params),
  );
  await changed(mdm, job);
}

async function insisting<T>(what: string, ask: () => Promise<T>): Promise<T> {
  return until(what, () =>
    ask().catch((error: unknown) => {
      if (error instanceof ClusterError && LATER.includes(error.info.name)) return null;
      throw error;
    }),
  );
}

/** The member of etcd of an MDM, 0: there is none. */
export function memberPid(stateDir: string): number {
  if (!existsSync(stateDir)) return 0;
  const folder = readdirSync(stateDir).find((name) => name.startsWith('etcd-'));
  const record = join(stateDir, folder ?? '', 'process.json');
  if (folder === undefined || !existsSync(record)) return 0;
  return (JSON.parse(readFileSync(record, 'utf8')) as { readonly pid: number }).pid;
}
