// A target that starts from nothing: whatever it still holds of the comb is told, whenever it was written.

import test from 'ava';

import type { CombEntry, Generation } from '../../../backend/protocol/generated/types.js';
import { bodyOf, decodeBody } from '../../support/newest.js';
import { MSG } from '../../../backend/protocol/generated/constants.js';
import { Comb, NO_GENERATION, PART } from '../../../backend/sds/comb.js';
import { PeerDevice } from '../../../backend/sds/peer.js';
import { Membership } from '../../../backend/sds/membership.js';
import { Peering } from '../../../backend/sds/peering.js';
import type { Shared } from '../../../backend/sds/shared.js';
import type { Stability } from '../../../backend/sds/stability.js';
import { Model } from '../../power/store-model.js';
import { GEOMETRY, Rig } from '../../power/store-rig.js';

/** What the model stamps everything with. */
const WRITTEN: Generation = { epoch: 1, number: 1 };
const NOW: Generation = { epoch: 1, number: 9 };
const COMB = 1;

/** Chunks that a target lists when the primary asks. */
function listed(inSyncUntil: Generation, changedSince: Generation): number[] {
  const rig = new Rig(1, 256 * 1024);
  rig.format();
  rig.openFully();
  const model = new Model(rig);
  // The model's chunks belong to four combs in turn.
  for (let chunk = 0; chunk < 12; chunk++) model.write(1, chunk, 0, 1);
  rig.endBatch();
  rig.flush();
  const frames: Uint8Array[] = [];
  const peer = new PeerDevice(0, 2, 0, 0);
  peer.setIncarnation(3);
  const comb = new Comb(COMB);
  const entry: CombEntry = {
    ...{ index: COMB, generation: NOW, primary: 0, inSyncMask: 1, targetMask: 2, blankMask: 2 },
    members: [
      { deviceKey: 2, incarnation: 3 },
      { deviceKey: 7, incarnation: 1 },
    ],
  };
  Object.assign(comb, {
    ...{ entry, epoch: NOW.epoch, number: NOW.number, part: PART.target },
    ...{ primary: peer, primaryIncarnation: 3, inSyncUntil, changedSince },
  });
  const shared = {
    ...{ store: rig.store, geometry: GEOMETRY, recoveredLsn: 0, comb: () => comb },
    parts: { settling: { resolved: () => undefined, settle: () => undefined } },
    links: {
      reserve: (_link: number, length: number) => {
        const bytes = new Uint8Array(length);
        frames.push(bytes);
        return { bytes, view: new DataView(bytes.buffer), at: 0 };
      },
    },
  };
  const peering = new Peering(shared as unknown as Shared, {} as unknown as Stability);
  peering.joinAsked(peer, 1, { entry, ranges: true });
  return frames.flatMap((bytes) => {
    const view = new DataView(bytes.buffer);
    const { ranges } = decodeBody(MSG.PEER_JOINED, bodyOf(bytes, view, 0));
    return ranges.map(({ chunkIndex }) => chunkIndex);
  });
}

test('a target that starts from nothing tells every chunk of the comb that it has', (t) => {
  t.deepEqual(
    listed(NO_GENERATION, NO_GENERATION).sort((one, other) => one - other),
    [1, 5, 9],
  );
});

test('a target that returns tells what was changed since it left', (t) => {
  t.deepEqual(listed(WRITTEN, { epoch: 1, number: 2 }), []);
  t.deepEqual(
    listed({ epoch: 0, number: 1 }, WRITTEN).sort((one, other) => one - other),
    [1, 5, 9],
  );
});

test('a target that was catching up by its history starts anew when the entry says that it starts from nothing', (t) => {
  const peer = new PeerDevice(0, 7, 0, 0);
  peer.setIncarnation(1);
  const comb = new Comb(COMB);
  const nothing = (): number => 0;
  const shared = {
    ...{ deviceKey: 2, incarnation: 3, pool: null, log: { event: nothing } },
    ...{ comb: () => comb, makeComb: () => comb, peerOf: () => peer },
    store: { saveEntries: nothing, wantDurable: nothing, restampUnsettled: nothing },
    parts: {
      leases: { tellEntries: nothing, askSoon: nothing },
      settling: {
        resolved: nothing,
        stamped: nothing,
        regimeEnds: nothing,
        ownSettledLsn: nothing,
      },
      ...{ stability: { membersChanged: nothing }, serve: { membersChanged: nothing } },
      ...{ peering: { open: nothing }, changes: { consider: nothing } },
      leftovers: { adopted: nothing },
    },
  };
  const membership = new Membership(shared as unknown as Shared);
  const entry = (number: number, blankMask: number): CombEntry => ({
    ...{ index: COMB, generation: { epoch: 1, number }, primary: 0 },
    ...{ inSyncMask: 1, targetMask: 2, blankMask },
    members: [
      { deviceKey: 2, incarnation: 3 },
      { deviceKey: 7, incarnation: 1 },
    ],
  });
  membership.adopt(0, [entry(1, 0)]);
  const [member] = comb.members;
  if (member === undefined) throw new Error('a target');
  member.joined = true;
  const { session } = member;
  membership.adopt(0, [entry(2, 0)]);
  t.true(member.joined, 'an entry that changes nothing for it');
  // The primary may have missed the entry in which it was no target.
  membership.adopt(0, [entry(4, 2)]);
  t.false(member.joined);
  t.true(member.session > session, 'what is being copied does not count');
  member.joined = true;
  membership.adopt(0, [entry(5, 2)]);
  t.true(member.joined, 'once is enough');
});
