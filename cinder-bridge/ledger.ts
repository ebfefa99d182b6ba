// The ledger of attachments held against what Cinder knows: every difference is named, explained, and given the step that
// repairs it, where there is a safe one. It decides only; nothing is asked or changed here.

import type { MeshAttachment, MeshSdc, MeshVolume } from './gateway/cluster.js';
import { cinderIdOf, snapshotIdOf } from './naming.js';

/** An attachment as Cinder has it. */
export interface KnownAttachment {
  readonly attachmentId: string;
  readonly volumeId: string;
  readonly host: string;
  /** What the driver wrote into its connector; empty: none was written. */
  readonly holder: string;
  readonly generation: number;
}

/** A volume as Cinder has it. */
export interface KnownVolume {
  readonly volumeId: string;
  /** It must exist: it is not being made or removed, and neither has failed. */
  readonly settled: boolean;
}

/** A snapshot as Cinder has it. */
export interface KnownSnapshot extends KnownVolume {
  readonly snapshotId: string;
}

/** What Cinder knows of this backend. */
export interface Known {
  /** Absent: not told, and not compared. */
  readonly snapshots?: readonly KnownSnapshot[];
  readonly volumes: readonly KnownVolume[];
  readonly attachments: readonly KnownAttachment[];
}

/** What the cluster has. */
export interface LedgerState {
  readonly volumes: readonly MeshVolume[];
  readonly sdcs: readonly MeshSdc[];
  readonly attachments: readonly MeshAttachment[];
}

export const FINDING_KINDS = [
  'holderWithoutAttachment',
  'mappingWithoutHolder',
  'attachmentWithoutMapping',
  'attachmentReplaced',
  'hostDown',
  'volumeUnknownToCinder',
  'volumeMissing',
  'snapshotUnknownToCinder',
  'snapshotMissing',
  'snapshotOfOtherVolume',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** One step; each names the generation that it means, so that it does nothing once that has been replaced. */
export type Repair =
  | {
      readonly step: 'release';
      readonly meshsanId: string;
      readonly holder: string;
      readonly generation: number;
    }
  | {
      readonly step: 'unmap';
      readonly meshsanId: string;
      readonly sdcId: string;
      readonly generation: number;
    };

export interface Finding {
  readonly kind: FindingKind;
  /** Uuid in Cinder, null where there is none. */
  readonly volumeId: string | null;
  /** Of the snapshot that it is about; null: it is about a volume. */
  readonly snapshotId: string | null;
  readonly meshsanId: string | null;
  readonly text: string;
  /** Null: a person has to decide. */
  readonly repair: Repair | null;
}

/** One line of the ledger. */
export interface LedgerRow {
  readonly volumeId: string | null;
  readonly meshsanId: string;
  readonly volumeName: string;
  readonly sdcId: string;
  readonly sdcName: string | null;
  readonly sdcGuid: string;
  readonly connected: boolean;
  readonly generation: number;
  readonly accessMode: string;
  readonly holders: readonly {
    readonly holder: string;
    readonly sinceSeconds: number;
  }[];
}

/** Who has which volume mapped, by which generation, and who relies on it. */
export function ledgerRows({ volumes, sdcs, attachments }: LedgerState): readonly LedgerRow[] {
  const sdcById = new Map(sdcs.map((sdc) => [sdc.id, sdc]));
  return volumes.flatMap((volume) =>
    (volume.mappedSdcInfo ?? []).map(({ sdcId, mappingGeneration, accessMode }) => {
      const sdc = sdcById.get(sdcId);
      const holders = attachments
        .filter((one) => one.volumeId === volume.id && one.sdcId === sdcId)
        .map(({ holder, creationTime }) => ({ holder, sinceSeconds: creationTime }));
      return {
        volumeId: cinderIdOf(volume.name),
        ...{ meshsanId: volume.id, volumeName: volume.name, sdcId, accessMode, holders },
        sdcName: sdc?.name ?? null,
        sdcGuid: sdc?.sdcGuid ?? '',
        connected: sdc?.mdmConnectionState === 'Connected',
        generation: mappingGeneration,
      };
    }),
  );
}

const place = ({ sdcName, sdcId }: LedgerRow): string => sdcName ?? `SDC ${sdcId}`;

/** What is wrong with one mapping of a volume of Cinder. */
function ofRow(
  row: LedgerRow,
  holdersInCinder: ReadonlySet<string>,
  youngestSeconds: number,
): readonly Finding[] {
  const { volumeId, meshsanId, sdcId, generation } = row;
  const common = { volumeId, meshsanId, snapshotId: null };
  const findings: Finding[] = row.holders
    .filter(({ holder }) => holder !== '' && !holdersInCinder.has(`${String(volumeId)} ${holder}`))
    .filter(({ sinceSeconds }) => sinceSeconds <= youngestSeconds)
    .map(({ holder }) => ({
      ...{ ...common, kind: 'holderWithoutAttachment' },
      text: `${holder} is noted at ${place(row)} (generation ${generation}), and Cinder has no such attachment: a detach was lost, or an attach was given up`,
      repair: { step: 'release', meshsanId, holder, generation },
    }));
  if (row.holders.length === 0)
    findings.push({
      ...{ ...common, kind: 'mappingWithoutHolder' },
      text: `mapped to ${place(row)} (generation ${generation}) by hand or by another client: nobody is noted`,
      repair: { step: 'unmap', meshsanId, sdcId, generation },
    });
  if (!row.connected && findings.length === 0)
    findings.push({
      ...{ ...common, kind: 'hostDown' },
      text: `${place(row)} is not connected and still has the volume (generation ${generation}): evacuate its instances; their detach fences the host`,
      repair: null,
    });
  return findings;
}

/** What is wrong with one attachment that Cinder has. */
function ofAttachment(attachment: KnownAttachment, rows: readonly LedgerRow[]): readonly Finding[] {
  const { attachmentId, volumeId, host, holder, generation } = attachment;
  const row = rows.find((one) => one.holders.some((noted) => noted.holder === holder));
  const common = {
    ...{ volumeId, snapshotId: null, meshsanId: row?.meshsanId ?? null, repair: null },
  } as const;
  if (row === undefined)
    return [
      {
        ...{ ...common, kind: 'attachmentWithoutMapping' },
        text: `Cinder's attachment ${attachmentId} at ${host} has no mapping: somebody unmapped it by hand; detach and attach again`,
      },
    ];
  if (row.generation === generation) return [];
  return [
    {
      ...{ ...common, kind: 'attachmentReplaced' },
      text: `Cinder's attachment ${attachmentId} at ${host} means generation ${generation}, the mapping has ${row.generation}`,
    },
  ];
}

/** What only one side has of snapshots, and those that are not of the volume that Cinder means. */
function ofSnapshots(
  { volumes }: LedgerState,
  known: readonly KnownSnapshot[],
  youngestSeconds: number,
): readonly Finding[] {
  const volumeIds = new Map(volumes.map(({ id, name }) => [id, cinderIdOf(name)]));
  const present = new Map<string, MeshVolume>();
  for (const volume of volumes) {
    const id = snapshotIdOf(volume.name);
    if (id !== null) present.set(id, volume);
  }
  const sourceOf = ({ ancestorVolumeId }: MeshVolume): string | null =>
    volumeIds.get(ancestorVolumeId ?? '') ?? null;
  const findings: Finding[] = [];
  const inCinder = new Set(known.map(({ snapshotId }) => snapshotId));
  for (const [snapshotId, snapshot] of present) {
    if (inCinder.has(snapshotId) || snapshot.creationTime > youngestSeconds) continue;
    const { id: meshsanId, name } = snapshot;
    findings.push({
      ...{ kind: 'snapshotUnknownToCinder', volumeId: sourceOf(snapshot), snapshotId, meshsanId },
      text: `${name} has the name of Cinder's snapshot ${snapshotId}, which Cinder does not know: another Cinder, a restored database, or a create that was given up; remove or rename it by hand once that is known`,
      repair: null,
    });
  }
  for (const { snapshotId, volumeId, settled } of known) {
    if (!settled) continue;
    const common = { volumeId, snapshotId, repair: null } as const;
    const snapshot = present.get(snapshotId);
    if (snapshot === undefined)
      findings.push({
        ...{ ...common, kind: 'snapshotMissing', meshsanId: null },
        text: `Cinder has snapshot ${snapshotId} of volume ${volumeId}, and there is none on MeshSAN`,
      });
    else if (sourceOf(snapshot) !== volumeId)
      findings.push({
        ...{ ...common, kind: 'snapshotOfOtherVolume', meshsanId: snapshot.id },
        text: `${snapshot.name} is no snapshot of Cinder's volume ${volumeId}: its volume was removed or renamed by hand, or a volume was restored`,
      });
  }
  return findings;
}

/**
 * Every difference between the cluster and Cinder.
 *
 * @param nowSeconds - wall clock
 * @param minAgeSeconds - what is younger may be under way and is not reported
 */
export function compare(
  state: LedgerState,
  known: Known,
  nowSeconds: number,
  minAgeSeconds: number,
): readonly Finding[] {
  const youngest = nowSeconds - minAgeSeconds;
  const ours = ledgerRows(state).filter(({ volumeId }) => volumeId !== null);
  const holders = new Set(known.attachments.map((one) => `${one.volumeId} ${one.holder}`));
  const inCinder = new Set(known.volumes.map(({ volumeId }) => volumeId));
  const present = new Map(
    state.volumes.flatMap((volume) => {
      const id = cinderIdOf(volume.name);
      return id === null ? [] : [[id, volume] as const];
    }),
  );
  return [
    ...ours.flatMap((row) => ofRow(row, holders, youngest)),
    ...known.attachments
      .filter(({ holder }) => holder !== '')
      .flatMap((attachment) =>
        ofAttachment(
          attachment,
          ours.filter(({ volumeId }) => volumeId === attachment.volumeId),
        ),
      ),
    ...[...present]
      .filter(([id, volume]) => !inCinder.has(id) && volume.creationTime <= youngest)
      .map(([id, { id: meshsanId, name }]): Finding => ({
        ...{ kind: 'volumeUnknownToCinder', volumeId: id, snapshotId: null, meshsanId },
        repair: null,
        text: `${name} has the name of Cinder's volume ${id}, which Cinder does not know: another Cinder, a restored database, or a create that was given up; remove or rename it by hand once that is known`,
      })),
    ...known.volumes
      .filter(({ volumeId, settled }) => settled && !present.has(volumeId))
      .map(({ volumeId: id }): Finding => ({
        ...{ kind: 'volumeMissing', volumeId: id, snapshotId: null, meshsanId: null },
        repair: null,
        text: `Cinder has volume ${id}, and there is none on MeshSAN`,
      })),
    ...(known.snapshots === undefined ? [] : ofSnapshots(state, known.snapshots, youngest)),
  ];
}
