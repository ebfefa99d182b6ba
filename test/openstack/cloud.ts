// Brings a cloud up, takes it down, and removes every trace of it: the order of things, and what is announced before.
import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { releaseDevices } from '../../backend/deploy/local/devices.js';
import { CloudApi, type Pool } from './apis.js';
import { backendsOf, POWERFLEX } from './backends.js';
import { ComputeApi } from './compute-api.js';
import { CINDER_HOST, writeBackends, writeConfiguration } from './config.js';
import { writeHooks } from './config-compute.js';
import {
  createDatabases,
  createServerData,
  discoverHosts,
  once,
  setUpSchemas,
} from './databases.js';
import { computeHosts, endGuests, prepareHosts } from './hosts.js';
import { CONNECTOR_CONF, restoreMachine, writeConnectorConf } from './machine.js';
import { readCluster, startCluster, stopCluster, type MeshsanCluster } from './meshsan.js';
import { installPackages, missingPackages, packagesOf } from './packages.js';
import { RunError, type Progress } from './progress.js';
import { caFileOf } from './services-compute.js';
import { installPython } from './python.js';
import { refuseTakenPorts, serviceLog, startStage, stopServices } from './services.js';
import { createState, DEFAULT_STATE, readLedger, stateExists, type CloudState } from './state.js';

export interface Cloud {
  readonly state: CloudState;
  readonly cluster: MeshsanCluster;
  readonly api: CloudApi;
  readonly pools: readonly Pool[];
}

/** Says what is going to be installed and changed, before anything is. `stays`: the cloud is left running. */
export async function announce(
  state: CloudState,
  clusterDir: string | undefined,
  stays: boolean,
  progress: Progress,
): Promise<void> {
  // A cluster that cannot be read is told before anything is changed.
  if (clusterDir !== undefined) readCluster(clusterDir);
  const missing = await missingPackages(state.scope);
  const cluster =
    clusterDir === undefined
      ? `a MeshSAN cluster of its own in ${state.cluster} (npm start -- --dir ${state.cluster} --detach)`
      : `the MeshSAN cluster in ${clusterDir}`;
  const where = state.root === DEFAULT_STATE ? '' : ` --state ${state.root}`;
  const undo = stays
    ? `npm run openstack -- --down${where} stops it, -- --purge${where} removes it`
    : 'it stops and removes by itself what it started and wrote';
  progress.print(
    [
      'This command will',
      missing.length === 0
        ? `  install   nothing: all ${packagesOf(state.scope).length} packages it needs are there`
        : `  install   from Debian's archive, with what they depend on (300 to 450 packages, on a fresh machine):\n` +
          `            ${missing.join(' ')}\n` +
          '            (apt-get update first; their system-wide services are neither started nor enabled;\n' +
          '            while it installs, /usr/sbin/policy-rc.d is made if there is none)',
      `  write     only below ${state.root}: configuration, databases, logs, random passwords in files of mode 0600`,
      `            (and ${state.root}.lock while it runs)`,
      ...(state.scope === 'full' ? outsideOf() : []),
      `  start     mariadb, epmd, memcached, rabbitmq, keystone, glance-api, cinder-api, -scheduler, -volume`,
      ...(state.scope === 'full'
        ? [
            '            placement, neutron-server, nova-api, -conductor, -scheduler, -compute, libvirtd, virtlogd',
          ]
        : []),
      `            on ${state.address} (epmd on 127.0.0.1:${state.ports.epmd}), and use ${cluster}`,
      `  undo      ${undo}; packages stay`,
      '',
    ].join('\n'),
  );
}

/** What a cloud with instances changes elsewhere. */
function outsideOf(): string[] {
  return [
    `  change    ${CONNECTOR_CONF}, where os-brick looks for the gateway's password, mode 0600`,
    '            (what is there is saved, and put back by --purge)',
    '  make      /dev/scini, /dev/scinia ... and /dev/disk/by-id/emc-vol-...: gone when the cluster stops.',
    "            libvirt's directories below /etc, /var and /run are covered by own ones, in namespaces only",
  ];
}

/** Installs, configures and starts; what is there already is left as it is. */
export async function bringUp(
  state: CloudState,
  clusterDir: string | undefined,
  progress: Progress,
): Promise<Cloud> {
  createState(state);
  await refuseTakenPorts(state);
  await progress.step('packages are installed', () => installPackages(state, progress));
  if (state.scope === 'full') prepareHosts(state);
  const meshsan = progress.step('MeshSAN answers', () =>
    clusterDir === undefined
      ? startCluster(state.cluster, path.join(state.log, 'meshsan.log'), flagsOf(state))
      : Promise.resolve(readCluster(clusterDir)),
  );
  const [cluster] = await allSettledOrFirstError([
    meshsan,
    bringUpIdentity(state, progress),
  ] as const);
  writeBackends(state, cluster);
  if (state.scope === 'full') {
    if (!existsSync('/dev/scini'))
      throw new RunError(
        `the client of the cluster in ${cluster.dir} does not answer on /dev/scini; start that cluster with --attach --scini`,
      );
    copyFileSync(cluster.caFile, caFileOf(state));
    writeConnectorConf(state, cluster, POWERFLEX.name);
    writeHooks(state, cluster);
    await progress.step(
      'meshsan-cinder and meshsan-nova are installed (pip, below the state)',
      () => installPython(state),
    );
  }
  const { api, pools } = await progress.step('cinder-api, -scheduler, -volume are up', async () => {
    await startStage(state, 'cloud');
    const session = await CloudApi.login(state);
    const hint = `log: ${serviceLog(state, 'cinder-volume')}`;
    const backends = backendsOf(state.scope).map(({ name }) => name);
    const hosts = backends.map((name) => `${CINDER_HOST}@${name}`);
    const found = await session.cinderReady(hosts, 240, hint);
    for (const backend of backends) await session.ensureVolumeType(backend);
    return { api: session, pools: found };
  });
  if (state.scope === 'full')
    await progress.step('nova, placement, neutron, libvirt are up', () => bringUpNova(state, api));
  return { state, cluster, api, pools };
}

async function bringUpIdentity(state: CloudState, progress: Progress): Promise<void> {
  await writeConfiguration(state);
  await progress.step('mariadb, rabbitmq, memcached answer', async () => {
    await createServerData(state);
    await startStage(state, 'ground');
  });
  await progress.step('database schemas are there', async () => {
    await once(state, 'databases', () => createDatabases(state));
    await setUpSchemas(state);
  });
  await progress.step('keystone answers, catalogue is there', async () => {
    await startStage(state, 'identity');
    await once(state, 'identity', async () => {
      await (await CloudApi.login(state)).setUpIdentity(state);
    });
  });
}

/** Nova's services, and its compute hosts in their cell. */
async function bringUpNova(state: CloudState, api: CloudApi): Promise<void> {
  await startStage(state, 'compute');
  const compute = new ComputeApi(state, api);
  const hosts = computeHosts(state).map(({ name }) => name);
  await compute.servicesUp(hosts, 240);
  await discoverHosts(state);
  await compute.hypervisorsUp(hosts, 120);
}

/** Of the cluster that a cloud starts for itself: with instances its client serves this machine. */
function flagsOf(state: CloudState): string[] {
  return state.scope === 'full' ? ['--attach', '--scini', '--cinder-bridge'] : [];
}

/** Waits for both, so that nothing goes on in the background after an error; then throws the first error, if any. */
async function allSettledOrFirstError<A, B>(
  work: readonly [Promise<A>, Promise<B>],
): Promise<[A, B]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

/** Block devices of hosts with an SDC of their own are taken away before it ends. */
async function releaseHosts(state: CloudState): Promise<void> {
  for (const { own, dir } of computeHosts(state))
    if (own !== null) await releaseDevices({ sdcControl: own.sdcSocket }, path.join(dir, 'sdc'));
}

/** Stops what was started, the cluster last. */
export async function takeDown(state: CloudState, progress: Progress): Promise<void> {
  if (!stateExists(state)) {
    progress.say(`nothing to stop: there is no cloud in ${state.root}`);
    return;
  }
  await progress.step('OpenStack is stopped', async () => {
    await endGuests(state);
    await releaseHosts(state);
    await stopServices(state);
  });
  if (existsSync(state.cluster))
    await progress.step('MeshSAN is stopped', () =>
      stopCluster(state.cluster, path.join(state.log, 'meshsan.log')),
    );
}

/** Takes down, puts back what was changed outside the state directory, and removes the state. */
export async function purge(state: CloudState, progress: Progress): Promise<void> {
  if (!stateExists(state)) {
    progress.say(`nothing to remove: there is no cloud in ${state.root}`);
    return;
  }
  await takeDown(state, progress);
  const ledger = readLedger(state);
  restoreMachine(state);
  refuseMounts(state.root);
  rmSync(state.root, { recursive: true, force: true });
  progress.say(`removed ${state.root}`);
  if (ledger.packages.length > 0)
    progress.say(
      'packages stay; to remove those that were installed: ' +
        `apt-get purge --autoremove ${ledger.packages.join(' ')}`,
    );
}

/** Removing files must never reach into something that is mounted below them. */
function refuseMounts(root: string): void {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((at) => at.startsWith(`${root}/`));
  if (mounts.length > 0) throw new RunError(`${root} stays: unmount ${mounts.join(' and ')} first`);
}
