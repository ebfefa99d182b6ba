// Policies on the command line: spare, fault sets, as scripts ask for them and read the answers.

import test from 'ava';

import { ScliHarness, idAtEnd } from '../../support/scli-harness.js';

const POOL = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'pool1'];

test('the spare is changed as asked, by force only where that is said', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const asked = (): unknown => scli.cluster.asked.at(-1)?.params;
  const spare = (...more: string[]): Promise<{ code: number; out: readonly string[] }> =>
    scli.run('--modify_spare_policy', ...POOL, '--spare_percentage', '34', ...more);
  t.deepEqual((await spare()).out, ['Successfully modified storage pool pool1']);
  t.like(asked(), { sparePercent: 34, force: false, durability: null });
  t.is((await spare('--force')).code, 0);
  t.like(asked(), { sparePercent: 34, force: true });
});

test('a fault set is added, shown with its SDSs, renamed and removed', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const domain = ['--protection_domain_name', 'pd1'];
  const added = await scli.run('--add_fault_set', ...domain, '--fault_set_name', 'rack1');
  const id = idAtEnd(added);
  t.regex(added.out[0] ?? '', /^Successfully created fault set/);
  const { tables } = scli.cluster;
  const [set] = tables.faultSet;
  tables.sds = tables.sds.map((sds, index) =>
    index === 0 ? { ...sds, faultSetKey: set?.key ?? 0 } : sds,
  );
  const shown = await scli.run('--query_fault_set', '--fault_set_id', id);
  t.is(shown.out[0], `Fault Set ${id} Name: rack1`);
  t.true(shown.out.includes('Fault Set has 1 SDS node'));
  t.true(shown.out.some((line) => line.includes(`Name: ${tables.sds[0]?.name ?? ''} State: C`)));
  t.true(shown.out.some((line) => line.endsWith(' total capacity')));
  const all = await scli.run('--query_all_fault_sets', ...domain);
  t.true(all.out.includes(`Fault Set ID: ${id} Name: rack1 has 1 SDS node`));
  const rename = ['--rename_fault_set', ...domain, '--fault_set_name', 'rack1'];
  t.is((await scli.run(...rename, '--new_name', 'rack2')).code, 0);
  t.is((await scli.run(...rename, '--new_name', 'rack3')).code, 7);
  t.is((await scli.run('--remove_fault_set', ...domain, '--fault_set_name', 'rack2')).code, 0);
  t.deepEqual(tables.faultSet, []);
});

test('a domain is stopped with or without regard to its clients, and goes on', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const domain = ['--protection_domain_name', 'pd1'];
  const asked = (): unknown => scli.cluster.asked.at(-1)?.params;
  const stopped = await scli.run('--inactivate_protection_domain', ...domain);
  t.deepEqual(stopped.out, ['Successfully inactivated protection domain pd1']);
  t.like(asked(), { active: false, force: false });
  const shown = await scli.run('--query_protection_domain', ...domain);
  t.true(shown.out.includes('Operational state is Inactive'));
  for (const flag of ['--disconnect_clients', '--force']) {
    t.is((await scli.run('--inactivate_protection_domain', ...domain, flag)).code, 0);
    t.like(asked(), { active: false, force: true });
  }
  t.is((await scli.run('--activate_protection_domain', ...domain)).code, 0);
  t.like(asked(), { active: true });
  scli.sure = false;
  t.not((await scli.run('--inactivate_protection_domain', ...domain)).code, 0);
});

test('maintenance of an SDS is entered, shown and left, in either mode', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const { tables } = scli.cluster;
  const [sds] = tables.sds;
  const ref = ['--sds_name', sds?.name ?? ''];
  const run = (name: string, ...more: string[]): ReturnType<ScliHarness['run']> =>
    scli.run(name, ...ref, ...more);
  const asked = (): unknown => scli.cluster.asked.at(-1);
  t.is((await run('--exit_maintenance_mode')).code, 7);
  t.is((await run('--enter_maintenance_mode')).code, 0);
  t.like(asked(), { name: 'ENTER_MAINTENANCE', params: { maintenance: 'instant' } });
  const all = await scli.run('--query_all_sds');
  t.true(all.out.some((line) => line.includes('Connected, Joined, In instant maintenance IP:')));
  const shown = await run('--query_sds');
  t.true(shown.out.some((line) => line.includes('SDS-state: In instant maintenance;')));
  t.is((await run('--exit_maintenance_mode', '--force')).code, 0);
  t.like(asked(), { name: 'EXIT_MAINTENANCE', params: { abort: false, force: true } });
  t.is((await run('--enter_protected_maintenance_mode')).code, 0);
  t.like(asked(), { params: { maintenance: 'protected' } });
  t.is((await run('--abort_enter_protected_maintenance_mode')).code, 0);
  t.like(asked(), { params: { abort: true, force: false } });
  t.is((await run('--enter_protected_maintenance_mode')).code, 0);
  t.is((await run('--exit_protected_maintenance_mode')).code, 0);
  t.is(tables.sds[0]?.maintenance, 'none');
  // The other copies serve alone meanwhile: that is asked about.
  scli.sure = false;
  t.not((await run('--enter_maintenance_mode')).code, 0);
});

test('thresholds of one pool, of all, of the system, or of both', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const { cluster } = scli;
  const set = async (...more: string[]): Promise<readonly string[]> => {
    const before = cluster.asked.length;
    const high = ['--capacity_high_threshold', '70'];
    const { code } = await scli.run('--set_capacity_alerts_threshold', ...high, ...more);
    return code === 0 ? cluster.asked.slice(before).map(({ name }) => name) : [String(code)];
  };
  t.deepEqual(await set(), ['SET_SYSTEM']);
  t.deepEqual(await set('--system_default'), ['SET_SYSTEM']);
  t.deepEqual(await set(...POOL), ['SET_STORAGE_POOL']);
  const asked = cluster.asked.at(-1)?.params;
  t.like(asked, { capacityAlertHighPercent: 70, capacityAlertCriticalPercent: null });
  const pools = cluster.tables.storagePool.map(() => 'SET_STORAGE_POOL');
  t.deepEqual(await set('--all_storage_pools'), pools);
  const both = ['--all_storage_pools', '--system_default', '--capacity_critical_threshold', '85'];
  t.deepEqual(await set(...both), ['SET_SYSTEM', ...pools]);
  t.deepEqual(await set(...POOL, '--all_storage_pools'), ['1']);
  t.is((await scli.run('--set_capacity_alerts_threshold', ...POOL)).code, 1);
});

test('the overview ends with what is wrong now', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const { tables } = scli.cluster;
  const domain = tables.protectionDomain[0];
  tables.protectionDomain = tables.protectionDomain.map((one) => ({ ...one, active: false }));
  const { out } = await scli.run('--query_all');
  const at = out.findIndex((line) => /^System has \d alerts:$/.test(line));
  t.true(at > 0);
  const id = `4d534156${(domain?.key ?? 0).toString(16).padStart(8, '0')}`;
  t.true(
    out.slice(at).includes(`\tError: PD_INACTIVE ProtectionDomain ${id} (name: pd1)`),
    out.slice(at).join('\n'),
  );
});

test('jobs of devices are shown with their pool and their SDS', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const { tables, jobs } = scli.cluster;
  const [device, other] = tables.device;
  if (device === undefined || other === undefined) throw new Error('two devices');
  const sds = tables.sds.find(({ key }) => key === device.sdsKey)?.name ?? '';
  const counts = { activeIn: 1, activeOut: 2, pendingIn: 3, pendingOut: 4 };
  jobs.set(device.key, [
    { job: 'forwardRebuild', ...counts },
    { job: 'enterMaintenance', ...counts },
  ]);
  jobs.set(other.key, [
    { job: 'rebalance', ...counts },
    { job: 'backwardRebuild', ...counts },
  ]);
  const found = async (...argv: string[]): Promise<string[]> =>
    (await scli.run(...argv)).out
      .map((line) => line.trim())
      .filter((line) => line.endsWith(' jobs'));
  t.deepEqual(await found('--query_storage_pool', ...POOL), [
    ...[
      '1 active moving-in',
      '2 active moving-out',
      '3 pending moving-in',
      '4 pending moving-out',
    ].flatMap((line) => [`${line} forward-rebuild jobs`]),
    ...[
      '1 active moving-in',
      '2 active moving-out',
      '3 pending moving-in',
      '4 pending moving-out',
    ].flatMap((line) => [`${line} backward-rebuild jobs`]),
    ...[
      '2 active moving-in',
      '4 active moving-out',
      '6 pending moving-in',
      '8 pending moving-out',
    ].flatMap((line) => [`${line} rebalance jobs`]),
  ]);
  const ofSds = await found('--query_sds', '--sds_name', sds);
  t.is(ofSds[0], '1 active moving-in forward-rebuild jobs');
  t.is(ofSds[4], '0 active moving-in backward-rebuild jobs');
  t.is(ofSds[11], '4 pending moving-out rebalance jobs');
});

test('a volume gets a policy of its own for full pools, and a pool says when it will be full', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const { cluster } = scli;
  const size = ['--size_gb', '8', '--volume_name', 'v1'];
  t.is((await scli.run('--add_volume', ...POOL, ...size, '--thin_provisioned')).code, 0);
  const [volume] = cluster.tables.volume;
  const [pool] = cluster.tables.storagePool;
  if (volume === undefined || pool === undefined) throw new Error('a volume in a pool');
  const named = ['--volume_name', volume.name];
  const choose = (policy: string): ReturnType<ScliHarness['run']> =>
    scli.run('--set_volume_full_policy', ...named, '--full_policy', policy);
  t.is((await choose('never')).code, 1);
  t.true((await choose('error')).out[0]?.endsWith('end with an error when the pool is full'));
  t.like(cluster.asked.at(-1)?.params, { key: volume.key, fullPolicy: 'error' });
  const shown = await scli.run('--query_volume', ...named);
  t.true(shown.out.includes('   Writes end with an error when the pool is full'));

  const lines = async (): Promise<readonly string[]> =>
    (await scli.run('--query_storage_pool', ...POOL)).out.filter((line) => line.includes('Grows'));
  t.deepEqual(await lines(), []);
  const growth = { growthBytesPerDay: 10 * 2 ** 30, isFillingUp: true, fullInS: 9 * 86_400 };
  cluster.poolHealth.set(pool.key, growth);
  t.deepEqual(await lines(), [
    '\tGrows by 10.0 GB (10240 MB) a day; full in 9.0 days if it goes on like that',
  ]);
});
