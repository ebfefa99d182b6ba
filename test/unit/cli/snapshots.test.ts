// Snapshots and V-trees on the command line: the lines that scripts take apart, lists, files, modes, and refusals.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { ClusterError } from '../../../backend/runtime/cluster.js';
import { ScliHarness, idAtEnd } from '../../support/scli-harness.js';
import type { Printed } from '../../support/scli-harness.js';
import { until } from '../../support/until.js';

const GIB = 2 ** 30;

async function withVolumes(...names: readonly string[]): Promise<{
  readonly scli: ScliHarness;
  readonly ids: readonly string[];
}> {
  const scli = await ScliHarness.loggedIn();
  const pool = ['--protection_domain_name', 'pd1', '--storage_pool_name', 'pool1'];
  const ids: string[] = [];
  for (const name of names) {
    const size = ['--size_gb', '8', '--thin_provisioned'];
    ids.push(idAtEnd(await scli.run('--add_volume', ...pool, ...size, '--volume_name', name)));
  }
  return { scli, ids };
}

const groupOf = ({ out }: Printed): string =>
  /^Consistency group ID: ([0-9a-f]{16})$/.exec(out[1] ?? '')?.[1] ?? '';

test('one snapshot: the line with the arrow ends with its name', async (t) => {
  const { scli, ids } = await withVolumes('v1');
  const [id = ''] = ids;
  const made = await scli.run(
    ...['--snapshot_volume', '--volume_name', 'v1', '--snapshot_name', 'v1-monday'],
  );
  t.is(made.code, 0);
  t.is(made.out[0], 'Snapshot created successfully');
  t.regex(groupOf(made), /^[0-9a-f]{16}$/);
  t.is(made.out[2], ` Source volume with ID ${id} => v1-monday`);
  const { out } = await scli.run('--query_all_volumes');
  t.regex(
    out[4] ?? '',
    /^ Volume ID: [0-9a-f]{16} Name: v1-monday Size: 8\.0 GB \(8192 MB\) Unmapped Snapshot of v1 Thin-provisioned$/,
  );
  const shown = await scli.run('--query_volume', '--volume_name', 'v1-monday');
  t.true(shown.out.includes(`   VTree ID: ${id}`));
  t.true(shown.out.includes(`   Ancestor Volume ID: ${id}`));
  t.true(shown.out.includes(`   Consistency Group ID: ${groupOf(made)}`));
  const again = await scli.run(
    ...['--snapshot_volume', '--volume_id', id, '--snapshot_name', 'v1-monday'],
  );
  t.is(again.code, 7);
  t.deepEqual(again.err, [
    'Error: MDM failed command.  Status: Volume name already in use. Please use a different name.',
  ]);
});

test('many: by lists and from files, of one group, which is removed as one', async (t) => {
  const { scli, ids } = await withVolumes('v1', 'v2');
  const [first = '', second = ''] = ids;
  const directory = mkdtempSync(join(tmpdir(), 'meshsan-scli-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const made = await scli.run(
    ...['--snapshot_volume', '--volume_id', `${second},${first}`],
    ...['--snapshot_name_from_file', file('names', 's2\ns1\n'), '--access_mode', 'read_only'],
  );
  t.deepEqual(made.out, [
    'Snapshots on 2 volumes created successfully.',
    `Consistency group ID: ${groupOf(made)}`,
    ` Source volume with ID ${second} => s2`,
    ` Source volume with ID ${first} => s1`,
  ]);
  const [v1, v2, ...copies] = scli.cluster.tables.volume;
  t.deepEqual(
    copies.map(({ name, ancestorKey, accessLimit }) => [name, ancestorKey, accessLimit]),
    [
      ['s2', v2?.key, 'readOnly'],
      ['s1', v1?.key, 'readOnly'],
    ],
  );
  const fromFile = await scli.run(
    ...['--snapshot_volume', '--volume_name_from_file', file('volumes', ' v1 \n\nv2\n'), '--json'],
  );
  const data = JSON.parse(fromFile.out.join('\n')) as { snapshots: { sourceVolumeId: string }[] };
  t.deepEqual(
    data.snapshots.map(({ sourceVolumeId }) => sourceVolumeId),
    [first, second],
  );
  const group = groupOf(made);
  const remove = ['--remove_consistency_group_snapshots', '--consistency_group_id', group];
  scli.sure = false;
  await scli.run(...remove);
  t.is(scli.cluster.tables.volume.length, 6, 'nothing without a yes');
  t.regex(scli.questions.at(-1) ?? '', /snapshots of the consistency group/);
  const removed = await scli.run(...remove, '--i_am_sure');
  t.deepEqual(removed.out, [
    `Consistency Group ${group} removed successfully.`,
    ' 2 snapshots were removed',
  ]);
  t.is(scli.cluster.tables.volume.length, 4);
  t.deepEqual((await scli.run(...remove, '--i_am_sure')).err, [
    'Error: MDM failed command.  Status: Could not find the consistency group',
  ]);
});

test('lists that do not fit, unknown volumes and unreadable files are refused, and nothing is made', async (t) => {
  const { scli, ids } = await withVolumes('v1', 'v2');
  const refused = async (...words: readonly string[]): Promise<string> => {
    const { code, err } = await scli.run('--snapshot_volume', ...words);
    t.not(code, 0, words.join(' '));
    return err.join('\n');
  };
  t.regex(
    await refused('--volume_name', 'v1,v2', '--snapshot_name', 's1'),
    /gives 1 name for 2 volumes: give one for each/,
  );
  t.regex(await refused('--volume_name', 'v1,v1'), /is named twice: name each volume once/);
  t.regex(await refused('--volume_name', 'v1,v9'), /Could not find the volume/);
  t.regex(await refused('--volume_id', `${ids[0] ?? ''},v2`), /v2 is not an id: 16 hex digits/);
  t.regex(await refused('--volume_name', ','), /--volume_name names nothing/);
  t.regex(await refused('--volume_id_from_file', '/no/such'), /--volume_id_from_file \/no\/such/);
  t.regex(await refused('--snapshot_name', 's'), /One of --volume_id, .* is needed/);
  t.regex(
    await refused('--volume_name', 'v1', '--access_mode', 'mine'),
    /--access_mode must be read_write or read_only/,
  );
  const many = Array.from({ length: 1025 }, (_, index) => `v${index}`).join(',');
  t.regex(await refused('--volume_name', many), /names 1025 volumes, at most 1024 go into one/);
  t.is(scli.cluster.tables.volume.length, 2);
});

test('removal modes say how much went; a wrong one says which there are', async (t) => {
  const { scli, ids } = await withVolumes('v1');
  const [id = ''] = ids;
  const snapshot = (of: string, name: string): Promise<Printed> =>
    scli.run('--snapshot_volume', '--volume_name', of, '--snapshot_name', name);
  const remove = (...mode: readonly string[]): Promise<Printed> =>
    scli.run('--remove_volume', '--volume_name', 'v1', '--i_am_sure', ...mode);
  await snapshot('v1', 's1');
  await snapshot('s1', 's2');
  const wrong = await remove('--remove_mode', 'everything');
  t.not(wrong.code, 0);
  t.regex(wrong.err.join(), /must be one of ONLY_ME, .*WHOLE_VTREE, is "everything"/);
  t.deepEqual((await remove('--remove_mode', 'descendants_only')).out, [
    `Successfully removed the descendants of volume ID ${id}`,
    ' 2 volumes were removed',
  ]);
  await snapshot('v1', 's1');
  t.deepEqual((await remove('--remove_mode', 'INCLUDING_DESCENDANTS')).out, [
    `Successfully removed volume ID ${id}`,
    ' 2 volumes were removed',
  ]);
  t.is(scli.cluster.tables.volume.length, 0);
});

test('a V-tree is shown as an outline with what each holds alone', async (t) => {
  const { scli, ids } = await withVolumes('v1');
  const [id = ''] = ids;
  await scli.run('--snapshot_volume', '--volume_name', 'v1', '--snapshot_name', 's1');
  await scli.run('--snapshot_volume', '--volume_name', 's1', '--snapshot_name', 's2');
  await scli.run('--snapshot_volume', '--volume_name', 'v1', '--snapshot_name', 's3');
  const [base, s1] = scli.cluster.tables.volume;
  if (base === undefined || s1 === undefined) throw new Error('no volumes');
  const net = (gib: number): { rawBytes: number; netBytes: number } => ({
    ...{ rawBytes: 2 * gib * GIB, netBytes: gib * GIB },
  });
  scli.cluster.volumeUsage.push(
    { volumeKey: base.key, ...net(5), sharedNetBytes: 3 * GIB },
    { volumeKey: s1.key, ...net(4), sharedNetBytes: 3 * GIB },
  );
  scli.cluster.treeUsage.push({
    ...{ vtreeKey: base.key, poolKey: base.poolKey, ...net(6), volumes: 4, layers: 5, merging: 1 },
    ...{ baseNetBytes: 5 * GIB, snapshotNetBytes: GIB },
  });
  const { out, code } = await scli.run('--query_vtree', '--volume_name', 's2');
  t.is(code, 0);
  t.is(out[0], `VTree ID: ${id} Name: v1`);
  t.is(out[2], '   4 volumes, of which 3 snapshots');
  t.is(out[3], '   Net capacity in use: 6.0 GB (6144 MB)');
  t.is(out[6], '   1 layer is being merged');
  t.deepEqual(
    out
      .slice(7)
      .map((line) => line.replace(/ ID: [0-9a-f]{16} Name:| Size: 8.0 GB \(8192 MB\)/g, '')),
    [
      '   Volume v1 Own data: 2.0 GB (2048 MB)',
      '      Snapshot s1 Own data: 1.0 GB (1024 MB)',
      '         Snapshot s2 Own data: 0 Bytes',
      '      Snapshot s3 Own data: 0 Bytes',
    ],
  );
  t.deepEqual((await scli.run('--query_vtree', '--vtree_id', id)).out, out);
  const old = await scli.run('--query_volume_tree', '--volume_id', id);
  t.regex(old.out[0] ?? '', /deprecated.*--query_vtree/);
  t.deepEqual(old.out.slice(1), out);
  const { out: json } = await scli.run('--query_vtree', '--vtree_id', id, '--json');
  const data = JSON.parse(json.join('\n')) as { volumes: Record<string, unknown>[] };
  t.like(data.volumes[1], {
    name: 's1',
    ancestorVolumeId: id,
    ownNetCapacityInUseInKb: GIB / 1024,
  });
  const none = await scli.run('--query_vtree', '--vtree_id', '4d534156deadbeef');
  t.deepEqual(none.err, ['Error: MDM failed command.  Status: Could not find the VTree']);
});

test('the content of a volume is overwritten, and a V-tree confirmed, only when that is sure', async (t) => {
  const { scli, ids } = await withVolumes('v1', 'v2');
  const [id = ''] = ids;
  await scli.run('--snapshot_volume', '--volume_name', 'v1', '--snapshot_name', 's1');
  const revert = ['--overwrite_volume_content', '--source_vol_name', 's1'];
  scli.sure = false;
  const before = scli.cluster.asked.length;
  await scli.run(...revert, '--destination_vol_id', id);
  await scli.run('--confirm_vtree', '--vtree_id', id);
  t.is(scli.cluster.asked.length, before);
  scli.sure = true;
  scli.cluster.refusals.set('OVERWRITE_VOLUME', ClusterError.named('VOLUME_BUSY'));
  const waiting = scli.run(...revert, '--destination_volume_name', 'v1');
  await until('it was asked again', () => (scli.cluster.asked.length > before + 1 ? true : null));
  scli.cluster.refusals.clear();
  t.regex((await waiting).out[0] ?? '', new RegExp(`content of volume with ID ${id} with that of`));
  t.like(scli.cluster.asked.at(-1), { name: 'OVERWRITE_VOLUME' });
  const other = await scli.run(...revert, '--destination_vol_name', 'v2');
  t.is(other.code, 7);
  t.regex(other.err.join(), /another volume of its VTree/);
  t.regex((await scli.run(...revert)).err.join(), /One of --destination_vol_id, .* is needed/);
  const confirmed = await scli.run('--confirm_vtree', '--volume_name', 's1');
  t.deepEqual(confirmed.out, [`Successfully confirmed VTree with ID ${id}`]);
});
