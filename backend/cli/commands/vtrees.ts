// Commands about V-trees: what stands on what, what it holds, and the confirmation of one that restored metadata does not know whole.

import type { Volume, VolumeStatus, VtreeStatus } from '../../protocol/generated/types.js';
import { ClusterError } from '../../runtime/cluster.js';
import type { ClusterReader } from '../../runtime/cluster-reader.js';
import { isSnapshot } from '../../runtime/statistics/trees.js';
import { counted, nameOrNone, sizeText } from '../format.js';
import { VOLUME_REF, idKey, needed, volumeOf } from '../lookup.js';
import { outcome } from '../option.js';
import type { Command, Option, Outcome, Run } from '../option.js';

const topic = 'Volumes';

const VTREE_REF: readonly Option[] = [
  ...VOLUME_REF.map(({ name, value, about, group, required }) => ({
    ...{ name, about: `any ${about} of the V-tree` },
    ...(value === undefined ? {} : { value }),
    ...(group === undefined ? {} : { group }),
    ...(required === undefined ? {} : { required }),
  })),
  { name: 'vtree_id', value: 'ID', about: 'V-tree by id', group: 'volume', required: true },
];

interface Tree {
  readonly vtreeKey: number;
  /** Oldest first. */
  readonly members: readonly Volume[];
  readonly oldest: Volume;
}

/** The V-tree that a command line names. @throws ClusterError */
async function treeOf({ reader, values }: Run): Promise<Tree> {
  const id = values.get('vtree_id');
  const vtreeKey =
    id === undefined
      ? needed(await volumeOf(reader, values), 'volume').vtreeKey
      : idKey(reader, id);
  const members = (await reader.all('volume')).filter((one) => one.vtreeKey === vtreeKey);
  const [oldest] = members;
  if (oldest === undefined) throw ClusterError.named('VTREE_NOT_FOUND');
  return { vtreeKey: oldest.vtreeKey, members, oldest };
}

interface Node {
  readonly volume: Volume;
  readonly depth: number;
}

/** Volumes with what stands on them below. */
function outline(members: readonly Volume[], ancestorKey = 0, depth = 0): readonly Node[] {
  return members
    .filter((volume) => volume.ancestorKey === ancestorKey)
    .flatMap((volume) => [{ volume, depth }, ...outline(members, volume.key, depth + 1)]);
}

function nodeLine(reader: ClusterReader, { volume, depth }: Node, held?: VolumeStatus): string {
  const { key, name, sizeSectors } = volume;
  const size = sizeText(sizeSectors * 512);
  const own = sizeText((held?.netBytes ?? 0) - (held?.sharedNetBytes ?? 0));
  const kind = isSnapshot(volume) ? 'Snapshot' : 'Volume';
  return `${'   '.repeat(depth + 1)}${kind} ID: ${reader.id(key)} Name: ${nameOrNone(name)} Size: ${size} Own data: ${own}`;
}

function heldLines(status: VtreeStatus | undefined): readonly string[] {
  if (status === undefined) return [];
  const { netBytes, baseNetBytes, snapshotNetBytes, merging } = status;
  return [
    `   Net capacity in use: ${sizeText(netBytes)}`,
    `   Of base volume: ${sizeText(baseNetBytes)}`,
    `   Of snapshots: ${sizeText(snapshotNetBytes)}`,
    ...(merging === 0 ? [] : [`   ${counted(merging, 'layer is', 'layers are')} being merged`]),
  ];
}

function heldData(status: VtreeStatus | undefined): Record<string, number> {
  if (status === undefined) return {};
  const { netBytes, baseNetBytes, snapshotNetBytes } = status;
  return {
    netCapacityInUseInKb: Math.floor(netBytes / 1024),
    baseNetCapacityInUseInKb: Math.floor(baseNetBytes / 1024),
    snapNetCapacityInUseInKb: Math.floor(snapshotNetBytes / 1024),
  };
}

async function queryVtree(run: Run, hint: readonly string[] = []): Promise<Outcome> {
  const { reader } = run;
  const { vtreeKey, members, oldest } = await treeOf(run);
  const [[pool], report, trees] = await Promise.all([
    reader.some('storagePool', [oldest.poolKey]),
    reader.status('volume'),
    reader.vtrees(),
  ]);
  const status = trees.find((tree) => tree.vtreeKey === vtreeKey);
  const held = new Map(report.volumes.map((volume) => [volume.volumeKey, volume]));
  const snapshots = members.filter(isSnapshot).length;
  const id = reader.id(vtreeKey);
  const poolId = reader.id(oldest.poolKey);
  const isDoubtful = members.some(({ doubtful }) => doubtful);
  const lines = [
    ...hint,
    `VTree ID: ${id} Name: ${nameOrNone(oldest.name)}`,
    `   Storage Pool ${poolId} Name: ${pool?.name ?? 'N/A'}`,
    `   ${counted(members.length, 'volume')}, of which ${counted(snapshots, 'snapshot')}`,
    ...heldLines(status),
    ...(isDoubtful ? ['   Not served: restored metadata is older than it (--confirm_vtree)'] : []),
    ...outline(members).map((node) => nodeLine(reader, node, held.get(node.volume.key))),
  ];
  return outcome(lines, {
    ...{ id, storagePoolId: poolId, confirmed: !isDoubtful },
    ...heldData(status),
    volumes: members.map((volume) => ({
      id: reader.id(volume.key),
      name: volume.name,
      ancestorVolumeId: reader.idOrNull(volume.ancestorKey),
      consistencyGroupId: reader.idOrNull(volume.groupKey),
      sizeInKb: volume.sizeSectors / 2,
      ownNetCapacityInUseInKb: ownKb(held.get(volume.key)),
    })),
  });
}

/** What a volume holds that no other reads. */
function ownKb(held: VolumeStatus | undefined): number {
  return Math.floor(((held?.netBytes ?? 0) - (held?.sharedNetBytes ?? 0)) / 1024);
}

async function confirmVtree(run: Run): Promise<Outcome> {
  const { vtreeKey } = await treeOf(run);
  await run.cluster.command('CONFIRM_VTREE', run.user, { vtreeKey });
  const id = run.reader.id(vtreeKey);
  return outcome(`Successfully confirmed VTree with ID ${id}`, { id });
}

export const VTREE_COMMANDS: readonly Command[] = [
  {
    name: 'query_vtree',
    topic,
    about: 'a volume, its snapshots below it, and what they hold',
    options: VTREE_REF,
    run: queryVtree,
  },
  {
    name: 'query_volume_tree',
    topic,
    about: 'the same under its older name',
    options: VOLUME_REF,
    run: (run) =>
      queryVtree(run, ['This command is deprecated. Please use --query_vtree instead.']),
  },
  {
    name: 'confirm_vtree',
    topic,
    about: 'serve a V-tree as restored metadata has it, though devices hold more',
    options: VTREE_REF,
    sure: 'What was written to layers that the metadata does not know will be lost.',
    run: confirmVtree,
  },
];
