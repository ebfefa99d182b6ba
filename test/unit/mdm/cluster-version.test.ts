// The cluster version: what is written before it is raised, who keeps it from being raised, and whom it shuts out.

import test from 'ava';

import { decodeStored, encodeStored } from '../../../backend/protocol/control.js';
import { MSG, VERSION_MAX } from '../../../backend/protocol/generated/constants.js';
import { Cluster, standard } from './harness.js';

/** Makes the system one that an older version set up. */
function setBack(cluster: Cluster): void {
  for (const { key, value } of cluster.store.entries()) {
    if (key[0] !== SYSTEM) continue;
    const system = { ...decodeStored('System', value), clusterVersion: 1 };
    cluster.store.content.set(Buffer.from(key).toString('hex'), encodeStored('System', system, 1));
  }
  cluster.restart();
}

const SYSTEM = 1;
const versionOf = (cluster: Cluster): number | undefined =>
  cluster.query('system').systems[0]?.clusterVersion;

test('a new system has the newest version; a raise to it changes nothing, anything else is refused', (t) => {
  const cluster = new Cluster();
  t.is(versionOf(cluster), VERSION_MAX);
  const { sequence } = cluster.store;
  cluster.command('RAISE_CLUSTER_VERSION', { version: VERSION_MAX });
  t.is(cluster.store.sequence, sequence);
  for (const version of [1, VERSION_MAX + 1]) {
    const { error, text } = cluster.refused('RAISE_CLUSTER_VERSION', { version });
    t.is(error, 'CLUSTER_VERSION_WRONG');
    t.regex(text, new RegExp(`cannot be ${version}: it is 2, is never lowered`));
  }
});

test('until it is raised, everything is stored as the older version knows it', (t) => {
  const cluster = new Cluster();
  setBack(cluster);
  t.is(versionOf(cluster), 1);
  cluster.store.content.clear();
  cluster.command('ADD_PROTECTION_DOMAIN', { name: 'one' });
  t.true([...cluster.store.content.values()].every((value) => value[0] === 1));
  cluster.command('RAISE_CLUSTER_VERSION', { version: 2 });
  cluster.command('ADD_PROTECTION_DOMAIN', { name: 'two' });
  t.true([...cluster.store.content.values()].some((value) => value[0] === 2));
});

test('whoever is older, or cannot be asked, keeps it from being raised, by name', (t) => {
  const { cluster, poolKey, devices } = standard({}, 2);
  setBack(cluster);
  const wanted = { version: 2 };
  const none = cluster.refused('RAISE_CLUSTER_VERSION', wanted);
  t.is(none.error, 'COMPONENTS_OLD');
  t.regex(none.text, /SDS \S+ \(not connected\), SDS \S+ \(not connected\)/);
  cluster.sds(1);
  cluster.linkVersion = 1;
  const old = cluster.sds(2);
  t.regex(cluster.refused('RAISE_CLUSTER_VERSION', wanted).text, /version 2: SDS \S+ \(1\)$/);
  cluster.close(old);
  cluster.linkVersion = 2;
  cluster.sds(2);
  cluster.linkVersion = 1;
  const [device] = devices;
  if (device === undefined) throw new Error('a device');
  cluster.register(device);
  t.regex(cluster.refused('RAISE_CLUSTER_VERSION', wanted).text, /version 2: device \S+ of SDS/);
  cluster.close(device.link);
  const client = cluster.sdc(1);
  t.regex(cluster.refused('RAISE_CLUSTER_VERSION', wanted).text, /version 2: SDC host1 \(1\)$/);
  // An SDC that is not connected keeps nobody from it: it holds nothing, and is refused when it comes back.
  cluster.close(client.link);
  cluster.linkVersion = 2;
  cluster.register(device);
  const before = cluster.messages(device.link, MSG.MAP_UPDATE).at(-1);
  t.is(before?.clusterVersion, 1);
  cluster.command('RAISE_CLUSTER_VERSION', wanted);
  t.is(versionOf(cluster), 2);
  t.is(cluster.messages(device.link, MSG.MAP_UPDATE).at(-1)?.clusterVersion, 2);
  t.true(poolKey > 0);
});

test('an older component is refused once the version is raised, with what would be right', (t) => {
  const { cluster, devices } = standard({}, 2);
  cluster.linkVersion = 1;
  const link = cluster.open('sds');
  const [device] = devices;
  if (device === undefined) throw new Error('a device');
  const tag = cluster.register(device);
  t.is(cluster.refusal(tag)?.error, 'COMPONENT_TOO_OLD');
  t.regex(cluster.refusal(tag)?.text ?? '', /raised to version 2, the component speaks up to 1/);
  t.throws(() => cluster.sdc(1), { message: /COMPONENT_TOO_OLD/ });
  t.true(link > 0);
});
