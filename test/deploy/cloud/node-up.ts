// Brings the machine's OpenStack up under Debian's units: the order of things, each started when what it needs answers.

import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { execa } from 'execa';
import { CloudApi } from '../../openstack/apis.js';
import { ComputeApi } from '../../openstack/compute-api.js';
import { createDatabases, discoverHosts, setUpSchemas } from '../../openstack/databases.js';
import { until } from '../../openstack/progress.js';
import type { Progress } from '../../openstack/progress.js';
import { connects } from '../../openstack/service.js';
import type { CloudState } from '../../openstack/state.js';
import { writeNode } from './node-config.js';
import { OLD_BACKEND, UNITS } from './node-state.js';

const ANSWER_SECONDS = 240;

async function start(units: readonly string[]): Promise<void> {
  await execa('systemctl', ['enable', '--quiet', ...units], { stdin: 'ignore' });
  await execa('systemctl', ['start', ...units], { stdin: 'ignore' });
}

async function answers(state: CloudState, ...ports: readonly number[]): Promise<void> {
  for (const port of ports)
    await until(`port ${port} answers`, ANSWER_SECONDS, async () =>
      (await connects(state.address, port)) ? { done: true } : { not: 'no answer' },
    );
}

/** A container has no right to lock memory, which Debian's unit of MariaDB asks for. */
function adaptUnits(): void {
  const folder = '/etc/systemd/system/mariadb.service.d';
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/container.conf`, '[Service]\nAmbientCapabilities=\n');
}

/** Brings everything up; cinder-volume has its old back-end and nothing else. */
export async function bringNodeUp(state: CloudState, progress: Progress): Promise<CloudApi> {
  const { ports } = state;
  await progress.step('configuration is written to /etc', async () => {
    await writeNode(state);
    adaptUnits();
    await execa('systemctl', ['daemon-reload']);
  });
  await progress.step(`${UNITS.ground.join(', ')} run`, () => start(UNITS.ground));
  await progress.step('database schemas are there', async () => {
    await createDatabases(state);
    await setUpSchemas(state);
  });
  const api = await progress.step('keystone answers, catalogue is there', async () => {
    await start(UNITS.identity);
    await answers(state, ports.keystone);
    const session = await CloudApi.login(state);
    await session.setUpIdentity(state);
    return session;
  });
  await progress.step('glance, placement, neutron, nova-api, cinder run', async () => {
    await start(UNITS.cloud);
    await answers(state, ports.glance, ports.placement, ports.neutron, ports.nova, ports.cinder);
    const hint = '/var/log/cinder/cinder-volume.log';
    await api.cinderReady([`${hostname()}@${OLD_BACKEND}`], ANSWER_SECONDS, hint);
    await api.ensureVolumeType(OLD_BACKEND);
  });
  await progress.step('nova-scheduler, nova-compute run', async () => {
    await start(UNITS.compute);
    const compute = new ComputeApi(state, api);
    await compute.servicesUp([hostname()], ANSWER_SECONDS);
    await discoverHosts(state);
    await compute.hypervisorsUp([hostname()], ANSWER_SECONDS);
  });
  return api;
}
