// Snapshot policies on the command line: what is asked, what is said, and what cannot be meant.

import test from 'ava';

import { ScliHarness, idAtEnd } from '../../support/scli-harness.js';

const POOL = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'pool1'];
const NAMED = ['--snapshot_policy_name', 'hourly'];
const VOLUME = ['--volume_name', 'v1'];
const TIMES = [
  ...['--auto_snapshot_creation_cadence', '60', '--num_of_retained_snapshots_per_level', '24,7'],
];

async function withPolicy(): Promise<{ readonly scli: ScliHarness; readonly id: string }> {
  const scli = await ScliHarness.loggedIn();
  await scli.run('--add_volume', ...POOL, '--size_gb', '8', ...VOLUME);
  const id = idAtEnd(await scli.run('--add_snapshot_policy', ...NAMED, ...TIMES));
  return { scli, id };
}

test('a policy is made, given a volume, shown, paused and removed', async (t) => {
  const { scli, id } = await withPolicy();
  const asked = (): unknown => scli.cluster.asked.at(-1)?.params;
  t.like(asked(), { cadenceMin: 60, retained: [24, 7], accessLimit: 'readOnly', paused: false });
  const added = await scli.run('--add_source_volume_to_snapshot_policy', ...NAMED, ...VOLUME);
  t.regex(added.out[0] ?? '', /^Successfully added volume [0-9a-f]{16} to snapshot policy with ID/);
  const shown = await scli.run('--query_snapshot_policy', '--snapshot_policy_id', id);
  t.is(shown.out[0], `Snapshot Policy ID: ${id} Name: hourly State: Active`);
  t.true(shown.out.includes('   Every 60 minutes, retained per level: 24, 7'));
  t.true(shown.out.includes('   1 source volume'));
  t.is((await scli.run('--pause_snapshot_policy', ...NAMED)).code, 0);
  const all = await scli.run('--query_all_snapshot_policies');
  t.is(all.out[0], 'Query-all-snapshot-policies returned 1 snapshot policies');
  t.regex(all.out[1] ?? '', /State: Paused, every 60 minutes, 1 source volume, 0 auto snapshots$/);
  t.is((await scli.run('--remove_snapshot_policy', ...NAMED)).code, 7);
  const remove = ['--remove_source_volume_from_snapshot_policy', ...NAMED, ...VOLUME];
  const left = await scli.run(...remove, '--auto_snapshot_removal_action', 'remove');
  t.like(asked(), { detach: false, detachLocked: false });
  t.is(left.out[1], ' 2 auto snapshots were removed, 1 detached');
  t.is((await scli.run('--remove_snapshot_policy', ...NAMED)).code, 0);
});

test('locks, and secure snapshots by their minutes', async (t) => {
  const { scli } = await withPolicy();
  const asked = (): unknown => scli.cluster.asked.at(-1)?.params;
  t.is((await scli.run('--lock_auto_snapshot', ...VOLUME)).code, 0);
  const unlock = ['--unlock_auto_snapshot', ...VOLUME];
  const gone = await scli.run(...unlock, '--auto_snapshot_will_be_removed');
  t.regex(gone.out[0] ?? '', /which is removed: its time was over$/);
  const secure = ['--set_snapshot_security', ...VOLUME, '--i_am_sure'];
  t.is((await scli.run(...secure, '--retention_period', '90')).code, 0);
  t.like(asked(), { minutes: 90 });
  t.not((await scli.run(...secure, '--retention_period', 'soon')).code, 0);
  const snapshot = ['--snapshot_volume', ...VOLUME, '--secure_snapshot_retention_time', '5'];
  t.is((await scli.run(...snapshot)).code, 0);
  t.like(asked(), { secureMin: 5 });
});

test('what is no number, no mode and no action is said', async (t) => {
  const { scli } = await withPolicy();
  const add = ['--add_snapshot_policy', '--auto_snapshot_creation_cadence', '60'];
  const levels = await scli.run(...add, '--num_of_retained_snapshots_per_level', '2,x');
  t.regex(levels.err.join(' '), /num_of_retained_snapshots_per_level must be a whole number/);
  const mode = await scli.run('--add_snapshot_policy', ...TIMES, '--snapshot_access_mode', 'none');
  t.regex(mode.err.join(' '), /read_write or read_only/);
  const remove = ['--remove_source_volume_from_snapshot_policy', ...NAMED, ...VOLUME];
  const action = await scli.run(...remove, '--auto_snapshot_removal_action', 'keep');
  t.regex(action.err.join(' '), /must be remove or detach/);
});
