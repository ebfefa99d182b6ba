// What a member takes of a primary while nothing is settled: it lets changes wait, of whatever kind, before its log has no
// place for them.

import test from 'ava';

import { encodeStruct } from '../../../backend/protocol/control.js';
import { HEADER_BYTES } from '../../../backend/protocol/frames.js';
import { ClusterMap } from '../../../backend/cluster-map/cluster-map.js';
import type { MapUpdate } from '../../../backend/cluster-map/cluster-map.js';
import { REBALANCE_POLICY, REBUILD_POLICY } from '../../../backend/cluster-map/copy-policy.js';
import { ERR, FLAG, MSG } from '../../../backend/protocol/generated/constants.js';
import * as head from '../../../backend/protocol/generated/frame-head.js';
import { Comb, PART } from '../../../backend/sds/comb.js';
import { CopyLimits } from '../../../backend/sds/copy-limits.js';
import { readWaits } from '../../../backend/sds/copy-waits.js';
import { COPY_KIND, CopyWorks } from '../../../backend/sds/copy-work.js';
import { MemberIo, TAKEN } from '../../../backend/sds/member-io.js';
import { PeerLinks } from '../../../backend/sds/peer-links.js';
import type { PeerTopics } from '../../../backend/sds/peer-links.js';
import { PeerDevice } from '../../../backend/sds/peer.js';
import type { Shared } from '../../../backend/sds/shared.js';
import { Volumes } from '../../../backend/sds/volumes.js';
import { GEOMETRY, Rig, optionsOf } from '../../power/store-rig.js';

const RING = 128;
const BODY_BYTES = 4;

/** 1 MiB/s for what is copied. */
function limitsOf(): CopyLimits {
  const slow = { ...REBUILD_POLICY, policy: 'favorApplication', bandwidthKbps: 1024 } as const;
  return new CopyLimits({
    ...{ copies: new CopyWorks(), options: { resyncChunksMax: 4 } },
    pool: {
      pool: {
        ...{ key: 1, combCountLog2: 2, durability: 'media', fullPolicy: 'wait', active: true },
        ...{ rebuildEnabled: true, rebuild: slow, rebalance: REBALANCE_POLICY },
        ...{ rmcache: false, cacheWrites: 'passthrough' as const },
        scanner: null,
      },
    },
    volumes: { all: () => [] },
  });
}

test('zeroes wait for room in the log as writes do', (t) => {
  const rig = new Rig(1, 256 * 1024, optionsOf({ ringRecords: RING }));
  rig.format();
  rig.openFully();
  const peer = new PeerDevice(0, 2, 0, 0);
  const comb = new Comb(3);
  comb.epoch = comb.joinedEpoch = 1;
  comb.number = comb.joinedNumber = 1;
  comb.part = PART.inSync;
  comb.primary = comb.joinedFrom = peer;
  const shared = {
    ...{ store: rig.store, geometry: GEOMETRY, pool: null, volumes: new Volumes() },
    comb: () => comb,
  };
  const member = new MemberIo(shared as unknown as Shared, limitsOf(), () => undefined);
  const bytes = new Uint8Array(HEADER_BYTES + BODY_BYTES);
  const view = new DataView(bytes.buffer);
  head.setCode(view, 0, MSG.PEER_ZERO);
  head.setComb(view, 0, comb.index);
  head.setGenerationEpoch(view, 0, 1);
  head.setGenerationNumber(view, 0, 1);
  head.setVolumeKey(view, 0, 9);
  head.setVolumeEpoch(view, 0, 1);
  head.setLengthSectors(view, 0, GEOMETRY.blockBytes / GEOMETRY.sectorBytes);
  view.setUint32(HEADER_BYTES, 9, true);
  let tag = 1;
  for (; tag < 10 * RING; tag++) {
    head.setTag(view, 0, tag);
    head.setOpLow(view, 0, tag);
    const taken = member.change(peer, bytes, view, 0, BODY_BYTES);
    rig.endBatch();
    rig.runIdle();
    if (taken === TAKEN.later) break;
    t.is(taken, TAKEN.yes);
  }
  t.true(tag > RING / 4 && tag < RING, `${tag} zeroes`);
  t.true(peer.stalled);
  // All that was taken gets settled: the frame that waited is offered again whenever the store went on, and is taken.
  rig.store.settle(rig.store.lastLsn);
  let taken: number = TAKEN.later;
  for (let offers = 0; taken === TAKEN.later && offers < 3; offers++) {
    taken = member.change(peer, bytes, view, 0, BODY_BYTES);
    rig.endBatch();
    rig.runIdle();
  }
  t.is(taken, TAKEN.yes);
});

test('an acknowledgement says how much room there is, for thin volumes too, and how long copies wait', (t) => {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  const peer = new PeerDevice(0, 2, 0, 0);
  peer.up = true;
  peer.in.thinCreditTold = 0;
  // More than fits into 16 bits stays free.
  const store = { freeBlocks: () => 4_000_000, thinBlocks: () => 40, writtenLsn: 0, durableLsn: 0 };
  const limits = limitsOf();
  const shared = {
    ...{ store, peers: [peer], nowUs: 0, ioBlocksMax: 64 },
    links: { reserve: () => ({ bytes, view, at: 0 }) },
  };
  const member = new MemberIo(shared as unknown as Shared, limits, () => undefined);
  member.acknowledge();
  t.is(head.getCode(view, 0), MSG.PEER_ACK);
  t.is(head.getAuthority(view, 0), 2_000_000);
  t.is(head.getChunkIndex(view, 0), 2_000_000 - 20);
  const { out } = new PeerDevice(1, 3, 0, 0);
  readWaits(view, 0, 7000, out);
  t.deepEqual(out.copyAfterUs, [0, 0, 0, 0], 'no copy came');
  limits.arrived(0, COPY_KIND.resync, 1024 * 1024);
  peer.in.thinCreditTold = 0;
  member.acknowledge();
  readWaits(view, 0, 7000, out);
  t.deepEqual(out.copyAfterUs, [1_007_000, 7000, 7000, 0]);
});

/** Volumes 9 and 20 with tops of their own over layer 9, as of this cut. */
function snapshotOf(volumes: Volumes, map: ClusterMap, cut: number): ClusterMap {
  const of = (key: number, top: number): MapUpdate['volumes'][number] => ({
    ...{ key, poolKey: 1, vtreeKey: 9, epoch: 2, sizeSectors: 64, layers: [top, 9], cut },
    ...{ active: true, thin: true, name: '', rmcache: true, fullPolicy: 'pool' },
  });
  const part: MapUpdate = {
    ...{ term: 1, sequence: cut + 1, full: false, last: true, pools: [], combs: [], devices: [] },
    ...{ mappings: [], removedDevices: [], removedVolumes: [], removedMappings: [] },
    ...{ clusterVersion: 2, merges: [], removedMerges: [], goneVolumes: [], removedLayers: [] },
    volumes: [of(9, 21), of(20, 20)],
  };
  const next = map.apply([part]);
  volumes.apply(next, [part]);
  return next;
}

test('a member in sync refuses changes of clients to a layer that it knows to be frozen, and nothing else', (t) => {
  const rig = new Rig(2, 256 * 1024, optionsOf({}));
  rig.format();
  rig.openFully();
  const peer = new PeerDevice(0, 2, 0, 0);
  const comb = new Comb(3);
  comb.epoch = comb.joinedEpoch = 1;
  comb.number = comb.joinedNumber = 1;
  comb.part = PART.inSync;
  comb.primary = comb.joinedFrom = peer;
  const volumes = new Volumes();
  const sent: { status: number; tag: number }[] = [];
  const shared = {
    ...{ store: rig.store, geometry: GEOMETRY, pool: null, volumes, nowUs: 0, deviceKey: 1 },
    copies: new CopyWorks(),
    comb: () => comb,
    links: {
      reserve: (_link: number, length: number) => {
        const bytes = new Uint8Array(length);
        const view = new DataView(bytes.buffer);
        answers.push(view);
        return { bytes, view, at: 0 };
      },
    },
  };
  const answers: DataView[] = [];
  const member = new MemberIo(shared as unknown as Shared, limitsOf(), () => undefined);
  const bytes = new Uint8Array(HEADER_BYTES + BODY_BYTES);
  const view = new DataView(bytes.buffer);
  head.setCode(view, 0, MSG.PEER_ZERO);
  head.setComb(view, 0, comb.index);
  head.setGenerationEpoch(view, 0, 1);
  head.setGenerationNumber(view, 0, 1);
  head.setLengthSectors(view, 0, GEOMETRY.blockBytes / GEOMETRY.sectorBytes);
  view.setUint32(HEADER_BYTES, 9, true);
  let tag = 0;
  /** Whether a change of this layer got into the log. */
  const takes = (layerKey: number, flags: number): boolean => {
    head.setTag(view, 0, ++tag);
    head.setOpLow(view, 0, tag);
    head.setVolumeKey(view, 0, layerKey);
    head.setFlags(view, 0, flags | FLAG.masks);
    const { lastLsn } = rig.store;
    t.is(member.change(peer, bytes, view, 0, BODY_BYTES), TAKEN.yes);
    for (const answer of answers.splice(0)) {
      t.is(head.getCode(answer, 0), MSG.PEER_REFUSED);
      sent.push({ status: head.getStatus(answer, 0), tag: head.getTag(answer, 0) });
    }
    return rig.store.lastLsn > lastLsn;
  };
  t.true(takes(9, 0), 'no snapshot');
  const map = snapshotOf(volumes, ClusterMap.EMPTY, 7);
  t.true(takes(9, 0), 'a cut that is not decided');
  snapshotOf(volumes, map, 0);
  t.deepEqual(sent, []);
  t.false(takes(9, 0), 'frozen');
  t.deepEqual(sent, [{ status: ERR.STALE_VOLUME_EPOCH, tag }]);
  t.true(takes(9, FLAG.copied), 'a copy');
  t.true(takes(21, 0), 'a top layer');
  t.true(takes(33, 0), 'a layer that only the primary has heard of');
  comb.part = PART.target;
  t.true(takes(9, 0), 'a target');
  t.is(sent.length, 1);
});

test('a member that refuses for a frozen layer leaves the set, as one without room does', (t) => {
  const peer = new PeerDevice(0, 2, 0, 0);
  const left: unknown[] = [];
  for (const status of [ERR.STALE_VOLUME_EPOCH, ERR.NO_SPACE]) {
    const member = { inSync: true };
    const comb = { part: PART.primary, memberOf: () => member };
    const shared = { comb: () => comb, log: { event: () => undefined } };
    const topics = {
      peering: { full: (_nowUs: number, _comb: unknown, gone: unknown) => left.push(gone) },
    };
    const links = new PeerLinks(shared as unknown as Shared, topics as unknown as PeerTopics);
    const entry = encodeStruct(
      'CombEntry',
      {
        ...{ index: 3, generation: { epoch: 1, number: 1 }, members: [], primary: 0 },
        ...{ inSyncMask: 1, targetMask: 0, blankMask: 0 },
      },
      2,
    );
    const bytes = new Uint8Array(HEADER_BYTES + entry.length);
    const view = new DataView(bytes.buffer);
    head.setCode(view, 0, MSG.PEER_REFUSED);
    head.setStatus(view, 0, status);
    head.setBodyBytes(view, 0, entry.length);
    bytes.set(entry, HEADER_BYTES);
    t.true(links.frame(0, peer, bytes, view, 0, entry.length));
    t.is(left.pop(), member);
  }
});
