// The ledger against what Cinder knows: each difference is named, and repaired only where that is safe.

import test from 'ava';

import type { MeshVolume } from '../../../cinder-bridge/gateway/cluster.js';
import { compare, ledgerRows } from '../../../cinder-bridge/ledger.js';
import type { Known, LedgerState } from '../../../cinder-bridge/ledger.js';
import { snapshotName, volumeName } from '../../../cinder-bridge/naming.js';

const UUID = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';
const NOW = 10_000;

function volume(changes: Partial<MeshVolume> = {}): MeshVolume {
  return {
    ...{ id: 'v1', name: volumeName(UUID), sizeInKb: 1048576, volumeType: 'ThinProvisioned' },
    ...{ storagePoolId: 'p', creationTime: 100, ancestorVolumeId: null, vtreeId: 'v1' },
    mappedSdcInfo: [{ sdcId: 's1', mappingGeneration: 4, accessMode: 'ReadWrite' }],
    ...changes,
  };
}

function state(changes: Partial<LedgerState> = {}, connected = true): LedgerState {
  return {
    volumes: [volume()],
    sdcs: [
      {
        ...{ id: 's1', name: 'compute1', sdcGuid: 'G', sdcIps: [], sdcApproved: true },
        mdmConnectionState: connected ? 'Connected' : 'Disconnected',
      },
    ],
    attachments: [
      { volumeId: 'v1', sdcId: 's1', mappingGeneration: 4, holder: 'a', creationTime: 200 },
    ],
    ...changes,
  };
}

const ATTACHMENT = {
  ...{ attachmentId: 'x', volumeId: UUID, host: 'compute1', holder: 'a', generation: 4 },
};
const KNOWN: Known = {
  volumes: [{ volumeId: UUID, settled: true }],
  attachments: [ATTACHMENT],
};

const kinds = (at: LedgerState, known: Known, minAge = 300): readonly string[] =>
  compare(at, known, NOW, minAge).map(({ kind }) => kind);

test('a ledger that agrees has no findings, and its rows say who has what', (t) => {
  t.deepEqual(kinds(state(), KNOWN), []);
  const [row] = ledgerRows(state());
  t.is(row?.volumeId, UUID);
  t.is(row?.generation, 4);
  t.deepEqual(row?.holders, [{ holder: 'a', sinceSeconds: 200 }]);
});

test('a holder that Cinder does not know is released by its generation, unless it is young', (t) => {
  const known = { ...KNOWN, attachments: [] };
  const [finding] = compare(state(), known, NOW, 300);
  t.is(finding?.kind, 'holderWithoutAttachment');
  t.deepEqual(finding?.repair, {
    step: 'release',
    meshsanId: 'v1',
    holder: 'a',
    generation: 4,
  });
  t.deepEqual(kinds(state(), known, 9_900), []);
  // The same holder at another volume is another one.
  const elsewhere = { ...KNOWN, attachments: [{ ...ATTACHMENT, volumeId: OTHER }] };
  t.true(kinds(state(), elsewhere).includes('holderWithoutAttachment'));
});

test('a mapping that nobody is noted for is unmapped by its generation', (t) => {
  const [finding] = compare(state({ attachments: [] }), { ...KNOWN, attachments: [] }, NOW, 300);
  t.is(finding?.kind, 'mappingWithoutHolder');
  t.deepEqual(finding?.repair, { step: 'unmap', meshsanId: 'v1', sdcId: 's1', generation: 4 });
});

test('volumes that are not Cinder’s are left alone', (t) => {
  const foreign = volume({ name: 'vol1' });
  const known = { volumes: [], attachments: [] };
  t.deepEqual(kinds(state({ volumes: [foreign], attachments: [] }), known), []);
});

test('an attachment without its mapping, or with another generation, is for a person', (t) => {
  const unmapped = state({ volumes: [volume({ mappedSdcInfo: null })], attachments: [] });
  t.deepEqual(
    compare(unmapped, KNOWN, NOW, 300).map(({ kind, repair }) => [kind, repair]),
    [['attachmentWithoutMapping', null]],
  );
  const replaced = { ...KNOWN, attachments: [{ ...ATTACHMENT, generation: 3 }] };
  t.deepEqual(
    compare(state(), replaced, NOW, 300).map(({ kind, repair }) => [kind, repair]),
    [['attachmentReplaced', null]],
  );
  // Attachments from before the driver wrote holders say nothing.
  const bare = { ...KNOWN, attachments: [ATTACHMENT, { ...ATTACHMENT, holder: '' }] };
  t.deepEqual(kinds(state(), bare), []);
});

test('a host that is down while it has a volume is named', (t) => {
  t.deepEqual(kinds(state({}, false), KNOWN), ['hostDown']);
});

test('volumes that only one side has are never removed by a repair', (t) => {
  const none = { volumes: [], attachments: [] };
  const quiet = state({ volumes: [volume({ mappedSdcInfo: null })], attachments: [] });
  t.deepEqual(
    compare(quiet, none, NOW, 300).map(({ kind, repair }) => [kind, repair]),
    [['volumeUnknownToCinder', null]],
  );
  t.deepEqual(kinds(quiet, none, 9_950), [], 'it is being made');
  const missing = { ...none, volumes: [{ volumeId: OTHER, settled: true }] };
  t.deepEqual(kinds(state({ volumes: [], attachments: [] }), missing), ['volumeMissing']);
  const failed = { ...none, volumes: [{ volumeId: OTHER, settled: false }] };
  t.deepEqual(kinds(state({ volumes: [], attachments: [] }), failed), []);
});

const SNAPSHOT = '33333333-3333-4333-8333-333333333333';

function withSnapshot(changes: Partial<MeshVolume> = {}): LedgerState {
  const snapshot = volume({
    ...{ id: 's1', name: snapshotName(SNAPSHOT), ancestorVolumeId: 'v1', mappedSdcInfo: null },
    ...changes,
  });
  return state({ volumes: [volume(), snapshot] });
}
const knownSnapshot = (volumeId = UUID, settled = true): Known => ({
  ...KNOWN,
  snapshots: [{ snapshotId: SNAPSHOT, volumeId, settled }],
});

test('a snapshot that both sides have of the same volume is no finding', (t) => {
  t.deepEqual(kinds(withSnapshot(), knownSnapshot()), []);
  t.deepEqual(kinds(withSnapshot(), KNOWN), [], 'Cinder was not asked for snapshots');
});

test('snapshots that only one side has are never removed by a repair', (t) => {
  const none = { ...KNOWN, snapshots: [] };
  const [unknown, ...more] = compare(withSnapshot(), none, NOW, 300);
  t.deepEqual(more, []);
  t.like(unknown, { kind: 'snapshotUnknownToCinder', snapshotId: SNAPSHOT, repair: null });
  t.like(unknown, { volumeId: UUID, meshsanId: 's1' });
  t.deepEqual(kinds(withSnapshot(), none, 9_950), [], 'it is being made');
  t.deepEqual(kinds(withSnapshot({ name: 'snap-by-hand' }), none), [], 'it is not of Cinder');
  const [missing] = compare(state(), knownSnapshot(), NOW, 300);
  t.like(missing, { kind: 'snapshotMissing', snapshotId: SNAPSHOT, volumeId: UUID, repair: null });
  t.deepEqual(kinds(state(), knownSnapshot(UUID, false)), [], 'it has failed, or is being made');
});

test('a snapshot of another volume than Cinder means is for a person', (t) => {
  const [finding] = compare(withSnapshot({ ancestorVolumeId: 'v9' }), knownSnapshot(), NOW, 300);
  t.like(finding, { kind: 'snapshotOfOtherVolume', snapshotId: SNAPSHOT, meshsanId: 's1' });
  t.is(finding?.repair, null);
  t.deepEqual(kinds(withSnapshot(), knownSnapshot(OTHER)), ['snapshotOfOtherVolume']);
});
