// What commands print and the codes they end with, as scripts read them.

import { readFile, writeFile } from 'node:fs/promises';

import test from 'ava';

import { COMMANDS } from '../../../backend/cli/commands.js';
import { referencePage } from '../../../backend/cli/help.js';
import { SDC_GUID } from '../../support/memory-cluster.js';
import type { Printed } from '../../support/scli-harness.js';
import { ScliHarness, idAtEnd } from '../../support/scli-harness.js';
import { threeNodes } from '../../support/memory-cluster.js';

const ID = /^[0-9a-f]{16}$/;

test('login says the role and the system; a wrong password is refused with code 7', async (t) => {
  const scli = await ScliHarness.make();
  const right = await scli.run('--login', '--username', 'admin', '--password', 'Correct-1');
  t.is(right.code, 0);
  t.deepEqual(right.out, ['Logged in. User role is Administrator. System ID is 4d53415600000001']);
  const wrong = await scli.run('--login', '--username', 'admin', '--password', 'nope');
  t.is(wrong.code, 7);
  t.deepEqual(wrong.err, ['Error: MDM failed command.  Status: Permission denied']);
  t.deepEqual(wrong.out, []);
});

test('a password that is not on the command line is asked for', async (t) => {
  const scli = await ScliHarness.make();
  scli.typed = 'Correct-1';
  t.is((await scli.run('--login', '--username', 'admin')).code, 0);
  scli.typed = null;
  t.is((await scli.run('--login', '--username', 'admin')).code, 1);
});

test('without a session, after logout, after expiry and after a password change commands are refused', async (t) => {
  const scli = await ScliHarness.make();
  const refused = async (): Promise<void> => {
    const { code, err } = await scli.run('--query_all_volumes');
    t.is(code, 7);
    t.deepEqual(err, [
      'Error: MDM failed command.  Status: Invalid session. Please login and try again.',
    ]);
  };
  const login = (password = 'Correct-1'): Promise<unknown> =>
    scli.run('--login', '--username', 'admin', '--password', password);
  await refused();
  await login();
  t.is((await scli.run('--query_all_volumes')).code, 0);
  await scli.run('--logout');
  await refused();
  await login();
  scli.nowMs += 9 * 3_600_000;
  await refused();
  await login();
  const changed = await scli.run(
    '--set_password',
    '--old_password',
    'Correct-1',
    '--new_password',
    'Other-22',
  );
  t.deepEqual(changed.out, ['Password changed successfully']);
  await refused();
  await login('Other-22');
  t.is((await scli.run('--query_all_volumes')).code, 0);
});

test('a volume is created, mapped, shown, enlarged, unmapped and removed', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const pool = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'pool1'];
  const made = await scli.run(
    '--add_volume',
    ...pool,
    '--size_gb',
    '10',
    '--volume_name',
    'vol1',
    '--thin_provisioned',
  );
  t.is(made.code, 0);
  const id = idAtEnd(made);
  t.regex(id, ID);
  t.deepEqual(made.out, [
    'Rounding up volume size to 16 GB',
    `Successfully created volume of size 16 GB. Object ID ${id}`,
  ]);

  const mapped = await scli.run(
    '--map_volume_to_sdc',
    '--volume_name',
    'vol1',
    '--sdc_guid',
    SDC_GUID.toLowerCase(),
  );
  t.deepEqual(mapped.out, [`Successfully mapped volume with ID ${id} to SDC 127.0.2.1`]);
  const again = await scli.run('--map_volume_to_sdc', '--volume_id', id, '--sdc_ip', '127.0.2.1');
  t.is(again.code, 7);
  t.deepEqual(again.err, [
    'Error: MDM failed command.  Status: The volume is already mapped to this SDC',
  ]);

  const { out } = await scli.run('--query_all_volumes');
  t.is(out[0], 'Query-all-volumes returned 1 volume');
  t.regex(out[1] ?? '', /^Protection Domain [0-9a-f]{16} Name: pd1$/);
  t.regex(out[2] ?? '', /^Storage Pool [0-9a-f]{16} Name: pool1$/);
  t.is(
    out[3],
    ` Volume ID: ${id} Name: vol1 Size: 16.0 GB (16384 MB) Mapped to 1 SDC Thin-provisioned`,
  );

  const shown = await scli.run('--query_volume', '--volume_name', 'vol1');
  t.is(shown.out[0], `>> Volume ID: ${id} Name: vol1`);
  t.true(shown.out.includes('   Mapped SDCs:'));
  t.regex(shown.out.at(-1) ?? '', /^ {6}SDC ID: [0-9a-f]{16} IP: 127\.0\.2\.1 Name: N\/A$/);

  const calm = { readOps: 40, readBytes: 163_840, readMicros: 9000, trimOps: 0, trimBytes: 0 };
  const waits = {
    throttledOps: 40,
    throttledMicros: 500_000,
    cachedReadOps: 0,
    cachedReadBytes: 0,
  };
  scli.cluster.rates.push({
    ...{ key: parseInt(id.slice(8), 16), writeOps: 0, writeBytes: 0, writeMicros: 0 },
    ...{ ...calm, ...waits },
  });
  const limited = await scli.run('--query_volume', '--volume_name', 'vol1');
  t.is(limited.out.at(-1), '   Throttled: 40 requests per second wait 12.5 ms each');

  const resized = await scli.run('--modify_volume_capacity', '--volume_id', id, '--size_gb', '24');
  t.deepEqual(resized.out, ['Successfully modified volume size to 24 GB']);
  const shrunk = await scli.run('--modify_volume_capacity', '--volume_id', id, '--size_gb', '8');
  t.is(shrunk.code, 7);

  const busy = await scli.run('--remove_volume', '--volume_id', id, '--i_am_sure');
  t.deepEqual(busy.err, ['Error: MDM failed command.  Status: Volume is mapped']);
  const unmapped = await scli.run(
    '--unmap_volume_from_sdc',
    '--volume_name',
    'vol1',
    '--all_sdcs',
    '--i_am_sure',
  );
  t.deepEqual(unmapped.out, [`Successfully un-mapped volume with ID ${id} from all SDCs`]);
  const removed = await scli.run('--remove_volume', '--volume_name', 'vol1', '--i_am_sure');
  t.deepEqual(removed.out, [`Successfully removed volume ID ${id}`]);
  const missing = await scli.run('--query_volume', '--volume_name', 'vol1');
  t.is(missing.code, 7);
  t.deepEqual(missing.err, ['Error: MDM failed command.  Status: Could not find the volume']);
});

test('what cannot be undone is asked first, unless the caller is sure', async (t) => {
  const scli = await ScliHarness.loggedIn();
  await scli.run(
    '--add_volume',
    '--storage_pool_name',
    'pool1',
    '--size_gb',
    '8',
    '--volume_name',
    'v',
  );
  scli.sure = false;
  t.is((await scli.run('--remove_volume', '--volume_name', 'v')).code, 1);
  t.is(scli.questions.length, 1);
  t.is(scli.cluster.tables.volume.length, 1);
  t.is((await scli.run('--remove_volume', '--volume_name', 'v', '--i_am_sure')).code, 0);
  t.is(scli.questions.length, 1);
});

test('a domain, a pool and an SDS with devices are added and listed', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const domain = await scli.run('--add_protection_domain', '--protection_domain_name', 'pd2');
  t.is(domain.out.length, 1);
  t.regex(domain.out[0] ?? '', /^Successfully created protection domain\. Object ID [0-9a-f]{16}$/);
  const pool = await scli.run(
    '--add_storage_pool',
    '--protection_domain_id',
    idAtEnd(domain),
    '--storage_pool_name',
    'p2',
  );
  t.regex(pool.out[0] ?? '', /^Successfully created a storage pool\. Object ID [0-9a-f]{16}$/);
  const sds = await scli.run(
    ...[
      '--add_sds',
      '--sds_ip',
      '10.0.0.1,10.0.1.1',
      '--protection_domain_name',
      'pd2',
      '--sds_ip_role',
      'all,sdc_only',
    ],
    ...['--storage_pool_name', 'p2', '--device_path', '/dev/sdb,/dev/sdc', '--sds_name', 'node9'],
  );
  t.regex(sds.out[0] ?? '', /^Successfully created SDS node9\. Object ID [0-9a-f]{16}$/);
  const { out } = await scli.run('--query_all_sds');
  t.is(out[0], 'Query-all-SDS returned 4 SDS nodes.');
  t.is(out[1], '');
  t.true(
    out.includes(
      `SDS ID: ${idAtEnd(sds)} Name: node9 State: Connected, Joined IP: 10.0.0.1,10.0.1.1 Port: 7072 Version: 0.2.0`,
    ),
  );
  const shown = await scli.run('--query_sds', '--sds_ip', '10.0.1.1');
  t.is(shown.out[0], `SDS ${idAtEnd(sds)} Name: node9 Version: 0.2.0`);
  t.true(shown.out.includes('     2: 10.0.1.1     Role: SDC Only'));
  t.true(shown.out.includes('Device information (total 2 devices):'));
  t.is((await scli.run('--remove_sds', '--sds_name', 'node9', '--i_am_sure')).code, 0);
});

test('names that are not unique, wrong addresses and lists of unequal length are refused', async (t) => {
  const scli = await ScliHarness.loggedIn();
  await scli.run('--add_protection_domain', '--protection_domain_name', 'pd2');
  await scli.run(
    '--add_storage_pool',
    '--protection_domain_name',
    'pd2',
    '--storage_pool_name',
    'pool1',
  );
  const before = scli.cluster.asked.length;
  const err = async (...argv: string[]): Promise<string> => {
    const printed = await scli.run(...argv);
    t.is(printed.code, 1);
    return printed.err[0] ?? '';
  };
  t.regex(
    await err('--query_storage_pool', '--storage_pool_name', 'pool1'),
    /not unique: name the protection domain/,
  );
  t.regex(
    await err('--add_sds', '--protection_domain_name', 'pd2', '--sds_ip', '10.0.0.300'),
    /not an IP address/,
  );
  t.regex(
    await err(
      '--add_sds',
      '--protection_domain_name',
      'pd2',
      '--sds_ip',
      '10.0.0.3',
      '--device_path',
      '/dev/sdb',
    ),
    /needs --storage_pool_name/,
  );
  t.regex(await err('--query_volume', '--volume_id', 'xyz'), /not an id: 16 hex digits/);
  t.is(scli.cluster.asked.length, before);
});

test('the overview has the lines that scripts look for', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const { out } = await scli.run('--query_all');
  const text = out.join('\n');
  for (const line of [
    /^System Info:$/m,
    /^\s+ID: {6}4d53415600000001$/m,
    /^Query all returned 1 Protection Domain:$/m,
    /^Protection Domain pd1 \(Id: [0-9a-f]{16}\) has 1 storage pools, 0 Fault Sets, 3 SDS nodes, 0 volumes and \S+ GB \(\d+ MB\) available for volume allocation$/m,
    /^Operational state is Active$/m,
    /^Storage Pool pool1 \(Id: [0-9a-f]{16}\) has 0 volumes and /m,
    /^\s+Spare policy: 10% out of total$/m,
    /^\s+3 SDS nodes have connection state 'Connected'$/m,
    /^\s+192\.0 GB \(196608 MB\) total capacity$/m,
    /^\s+0 Bytes in-use capacity$/m,
    /^\s+19\.2 GB \(19660 MB\) spare capacity$/m,
    /^\s+Primary-reads {28}0 IOPS 0 Bytes per-second$/m,
    /^Volumes summary:$/m,
  ])
    t.regex(text, line);
});

test('the cluster and the SDCs are shown as the original shows them', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const cluster = await scli.run('--query_cluster');
  t.is(cluster.out[0], 'Cluster:');
  t.is(cluster.out[1], '    Name: test, Mode: 1_node, State: Normal, Active: 1/1, Replicas: 1/1');
  t.is(cluster.out[2], 'Master MDM:');
  t.is(cluster.out[3], '    Name: mdm1, ID: 0x4d53415600000001');
  const { out } = await scli.run('--query_all_sdc');
  t.is(out[0], 'MDM restricted SDC mode: Disabled');
  t.is(out[1], 'Query all SDC returned 1 SDC nodes.');
  t.regex(
    out[2] ?? '',
    new RegExp(
      `^SDC ID: [0-9a-f]{16} Name: N/A IP: 127\\.0\\.2\\.1 State: Connected GUID: ${SDC_GUID} `,
    ),
  );
});

test('a cluster of MDMs is shown with what of it is down', async (t) => {
  const scli = await ScliHarness.loggedIn();
  scli.cluster.members = threeNodes(false);
  const { out } = await scli.run('--query_cluster');
  t.is(out[1], '    Name: test, Mode: 3_node, State: Degraded, Active: 2/3, Replicas: 1/2');
  t.deepEqual(out.slice(6), [
    'Slave MDMs:',
    '    Name: mdm2, ID: 0x4d53415600000102',
    '        IPs: 10.0.0.2, Management IPs: 10.0.0.2, Port: 9011',
    '        Status: Disconnected',
    'Tie-Breakers:',
    '    Name: tb, ID: 0x4d53415600000103',
    '        IPs: 10.0.0.3, Management IPs: 10.0.0.3, Port: 9011',
    '        Status: Normal, Version: 0.2.0',
  ]);
  scli.cluster.members = threeNodes(true);
  const whole = await scli.run('--query_cluster');
  t.is(whole.out[1], '    Name: test, Mode: 3_node, State: Normal, Active: 3/3, Replicas: 2/2');
});

test('MDMs are taken in, the mode is switched, and who is the master', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const [first, second] = threeNodes(true);
  if (first === undefined || second === undefined) throw new Error('three nodes');
  scli.cluster.members = [first];
  const add = (ip: string, role: string, name: string): Promise<Printed> =>
    scli.run(
      ...['--add_standby_mdm', '--new_mdm_ip', ip, '--mdm_role', role, '--new_mdm_name', name],
      ...['--new_mdm_management_ip', ip, '--approve_certificate', '--i_am_sure'],
    );
  const added = await add('10.0.0.2', 'manager', 'm2');
  t.regex(added.out[0] ?? '', /^Successfully added a standby MDM. Object ID [0-9a-f]{16}$/);
  await add('10.0.0.3', 'tb', 'tb');
  const { out } = await scli.run('--query_cluster');
  t.deepEqual(out.slice(6, 8), ['Standby MDMs:', `    Name: m2, ID: 0x${idAtEnd(added)}, Manager`]);
  t.true(out.some((line) => line.endsWith(', Tie Breaker')));
  const wrong = await scli.run(
    ...['--switch_cluster_mode', '--cluster_mode', '3_node', '--i_am_sure'],
    ...['--add_slave_mdm_name', 'm2,tb'],
  );
  t.regex(wrong.err[0] ?? '', /Wrong MDM role: tb is a tie-breaker/);
  const switched = await scli.run(
    ...['--switch_cluster_mode', '--cluster_mode', '3_node', '--i_am_sure'],
    ...['--add_slave_mdm_ip', '10.0.0.2', '--add_tb_name', 'tb'],
  );
  t.deepEqual(switched, {
    ...{ code: 0, out: ['Successfully switched the cluster mode'], err: [] },
  });
  t.regex((await scli.run('--query_cluster')).out[1] ?? '', /Mode: 3_node/);
  const owner = await scli.run('--switch_mdm_ownership', '--new_primary_mdm_ip', '10.0.0.2');
  t.is(owner.out[0], 'Successfully switched the MDM ownership');
  t.true(scli.cluster.members.find(({ name }) => name === 'm2')?.master);
  t.is((await scli.run('--switch_mdm_ownership', '--new_master_mdm_name', 'x')).code, 7);
  t.regex(
    (await scli.run('--switch_cluster_mode', '--cluster_mode', '2_node', '--i_am_sure')).err[0] ??
      '',
    /must be one of 1_node, 3_node, 5_node/,
  );
  const keyOf = (name: string): number =>
    scli.cluster.members.find((mdm) => mdm.name === name)?.key ?? 0;
  await scli.run(
    ...['--add_standby_mdm', '--new_mdm_ip', '10.0.0.7', '--mdm_role', 'tb'],
    ...['--new_mdm_name', 'tb2', '--force_clean'],
  );
  t.like(scli.cluster.asked.at(-1)?.params, {
    ...{ name: 'tb2', host: '10.0.0.7', role: 'tieBreaker', clean: true },
  });
  const [tb, tb2] = [keyOf('tb'), keyOf('tb2')];
  const replaced = await scli.run(
    ...['--replace_cluster_mdm', '--remove_tb_name', 'tb', '--add_tb_ip', '10.0.0.7'],
    '--allow_leave_failed',
  );
  t.deepEqual(replaced.out, ['Successfully replaced the cluster MDM']);
  t.deepEqual(scli.cluster.asked.at(-1)?.params, {
    ...{ mode: 3, add: [tb2], remove: [tb], allowFailed: true },
  });
  const renamed = await scli.run('--rename_mdm', '--target_mdm_name', 'm2', '--new_name', 'second');
  t.deepEqual(renamed.out, ['Successfully renamed MDM to second']);
  t.like(
    scli.cluster.members.find(({ host }) => host === '10.0.0.2'),
    { name: 'second' },
  );
  const forgotten = await scli.run('--remove_standby_mdm', '--remove_mdm_ip', '10.0.0.3');
  t.deepEqual(forgotten.out, ['Successfully removed the standby MDM']);
  t.is(keyOf('tb'), 0);
  t.true(keyOf('tb2') > 0);
  const one = await scli.run(
    ...['--switch_cluster_mode', '--cluster_mode', '1_node', '--i_am_sure'],
    ...['--remove_secondary_mdm_name', 'second', '--remove_tb_name', 'tb2'],
  );
  t.is(one.code, 0);
  t.like(scli.cluster.asked.at(-1)?.params, { mode: 1, add: [], allowFailed: false });
  scli.cluster.lastReason = 'the prefix /meshsan in etcd holds keys';
  const failed = await scli.run('--replace_cluster_mdm', '--remove_tb_name', 'tb2');
  t.is(failed.code, 7);
  t.regex(failed.err[0] ?? '', /stays as it was: the prefix \/meshsan in etcd holds keys/);
});

test('a system is made on an MDM that has none', async (t) => {
  const scli = await ScliHarness.make();
  const made = await scli.run(
    ...['--create_mdm_cluster', '--primary_mdm_ip', '10.0.0.1', '--master_mdm_name', 'm1'],
    ...['--accept_license', '--approve_certificate', '--master_mdm_management_ip', '10.0.0.1'],
  );
  t.deepEqual(made, { code: 0, out: ['Successfully created the MDM Cluster'], err: [] });
  const [{ host, system } = { host: '', system: null }] = scli.created;
  t.is(host, '10.0.0.1');
  t.like(system, { name: 'meshsan', mdmName: 'm1', adminName: 'admin' });
  t.is(system?.hash.length, 64);
  t.is((await scli.run('--create_mdm_cluster')).code, 1);
});

test('users are added with a temporary password that works and must not be shared', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const added = await scli.run('--add_user', '--username', 'kim', '--user_role', 'Monitor');
  const password = /'([^']+)'$/.exec(added.out.at(-1) ?? '')?.[1] ?? '';
  t.true(password.length >= 12);
  const users = await scli.run('--query_users');
  t.true(users.out.some((line) => /^[0-9a-f]{16} Monitor\s+No\s+kim$/.test(line)));
  t.is((await scli.run('--login', '--username', 'kim', '--password', password)).code, 0);
  const denied = await scli.run('--add_protection_domain', '--protection_domain_name', 'x');
  t.deepEqual(denied.err, ['Error: MDM failed command.  Status: Permission denied']);
});

test('properties stand behind a tab and 50 columns, records apart', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const ask = (type: string, ...more: string[]): ReturnType<ScliHarness['run']> =>
    scli.run('--query_properties', '--object_type', type, ...more);
  const { out } = await ask(
    'STORAGE_POOL',
    '--all_objects',
    '--properties',
    'NAME,ID,SPARE_PERCENT,MAX_CAPACITY_IN_KB,USER_DATA_READ_BWC',
  );
  const id = /^STORAGE_POOL ([0-9a-f]{16}):$/.exec(out[0] ?? '')?.[1] ?? '';
  t.deepEqual(out.slice(1), [
    `\t${'NAME'.padEnd(50)}pool1`,
    `\t${'ID'.padEnd(50)}${id}`,
    `\t${'SPARE_PERCENT'.padEnd(50)}10%`,
    `\t${'MAX_CAPACITY_IN_KB'.padEnd(50)}192.0 GB (196608 MB)`,
    `\t${'USER_DATA_READ_BWC'.padEnd(50)}0 IOPS 0 Bytes per-second`,
    '',
  ]);
  const sds = await ask('SDS', '--all_objects', '--preset', 'ALL');
  t.is(sds.out.filter((line) => line.startsWith('SDS ')).length, 3);
  t.deepEqual((await ask('VOLUME', '--all_objects', '--preset', 'ALL')).out, [
    'No objects returned',
  ]);
  const one = await ask('STORAGE_POOL', '--object_id', id, '--properties', 'NAME');
  t.is(one.out.length, 3);
  t.is((await ask('STORAGE_POOL', '--all_objects', '--properties', 'NOPE')).code, 1);
  t.is((await ask('POOL', '--all_objects', '--preset', 'ALL')).code, 1);
});

test('--json prints data with the same facts', async (t) => {
  const scli = await ScliHarness.loggedIn();
  await scli.run(
    '--add_volume',
    '--storage_pool_name',
    'pool1',
    '--size_gb',
    '8',
    '--volume_name',
    'v',
  );
  const { out } = await scli.run('--query_all_volumes', '--json');
  const volumes = JSON.parse(out.join('\n')) as { name: string; sizeInKb: number }[];
  t.deepEqual(
    volumes.map(({ name, sizeInKb }) => [name, sizeInKb]),
    [['v', 8 * 2 ** 20]],
  );
});

test('help shows all commands, and one in full', async (t) => {
  const scli = await ScliHarness.make();
  const all = await scli.run('--help');
  t.is(all.code, 0);
  for (const { name } of COMMANDS) t.true(all.out.some((line) => line.includes(`--${name} `)));
  const one = await scli.run('--help', '--map_volume_to_sdc');
  t.regex(
    one.out[0] ?? '',
    /^Usage: scli --map_volume_to_sdc \(--volume_id ID \| --volume_name NAME\)/,
  );
  const wrong = await scli.run('--nonsense');
  t.is(wrong.code, 1);
  t.regex(wrong.err.at(-1) ?? '', /^Usage: scli/);
});

test('limits of copying are set per pool, shown, and refused where they do not go with the policy', async (t) => {
  const scli = await ScliHarness.loggedIn();
  const pool = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'pool1'];
  const set = await scli.run(
    ...['--set_rebuild_policy', ...pool, '--policy', 'limit_concurrent_io'],
    ...['--concurrent_io_limit', '2'],
  );
  t.is(set.code, 0, set.err.join());
  await scli.run('--set_rebalance_mode', ...pool, '--disable_rebalance');
  const { out } = await scli.run('--query_storage_pool', ...pool);
  const text = out.join('\n');
  t.regex(text, /Rebuild is enabled and using Limit-Concurrent-IO policy with the following/);
  t.regex(text, /Number of concurrent IOs per device: 2/);
  t.regex(text, /Rebalance is disabled and using Dynamic-Bandwidth-Throttling policy/);
  const wrong = await scli.run(
    ...['--set_rebuild_policy', ...pool, '--policy', 'limit_concurrent_io'],
    ...['--bandwidth_limit', '4096'],
  );
  t.is(wrong.code, 1);
  t.regex(wrong.err.join(), /--bandwidth_limit does not go with --policy limit_concurrent_io/);
  const few = await scli.run(
    ...['--set_rebalance_policy', ...pool, '--policy', 'favor_application_io'],
    ...['--bandwidth_limit', '1000'],
  );
  t.regex(few.err.join(), /--bandwidth_limit must be a whole number from 1024 to/);
});

test('the reference page is the one that the command table makes', async (t) => {
  const page = new URL('../../../../backend/docs/scli.md', import.meta.url);
  const wanted = referencePage(COMMANDS);
  if (process.env['UPDATE_DOCS'] === '1') await writeFile(page, wanted);
  t.is(await readFile(page, 'utf8'), wanted, 'run the test with UPDATE_DOCS=1');
});
