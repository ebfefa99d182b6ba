// Holding a cut: what is certified, and what never is.

import test from 'ava';

import { MSG } from '../../../backend/protocol/generated/constants.js';
import { Cuts } from '../../../backend/sds/cuts.js';
import { OP_KIND } from '../../../backend/sds/op.js';
import type { Shared } from '../../../backend/sds/shared.js';
import { Volume } from '../../../backend/sds/volumes.js';

type Mdm = ConstructorParameters<typeof Cuts>[1];

const HOLD = { cut: 9, volumes: [4, 5], holdMs: 100 };
const HOLD_US = 100_000;

/** A process with two volumes of the cut and one beside it. */
function rig() {
  const volumes = [4, 5, 6].map((key) => new Volume(key, key));
  const ops: { kind: number; volume: Volume | null }[] = [];
  const told: { code: number; body: Record<string, unknown> }[] = [];
  const count = { released: 0 };
  const shared = {
    ...{ stage: 'serving', deviceKey: 3, incarnation: 7 },
    ops: { inUse: () => ops },
    volumes: {
      all: () => volumes,
      find: (key: number) => volumes.find((volume) => volume.key === key),
    },
  };
  const mdm = {
    tell: (code: number, body: unknown): void => {
      told.push({ code, body: body as Record<string, unknown> });
    },
  };
  const cuts = new Cuts(shared as unknown as Shared, mdm as unknown as Mdm, () => count.released++);
  return { cuts, volumes, ops, told, count, held: () => volumes.map(({ held }) => held) };
}

/** The map names the new layers of these volumes. */
function nameCut(volumes: readonly Volume[], cut: number): void {
  for (const volume of volumes) volume.cut = cut;
}

test('a hold that nothing broke is certified, and changes wait until then', (t) => {
  const { cuts, volumes, told, held } = rig();
  cuts.hold(0, HOLD);
  t.like(told.at(-1), { code: MSG.CUT_HELD, body: { cut: 9, ok: true, incarnation: 7 } });
  t.deepEqual(held(), [true, true, false]);
  nameCut(volumes.slice(0, 2), 9);
  cuts.mapChanged(HOLD_US - 1);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { cut: 9, certified: true } });
  t.deepEqual(held(), [false, false, false]);
  cuts.hold(2 * HOLD_US, HOLD);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { certified: true } }, 'asked again');
});

test('a cut is held when what ran has ended, not before', (t) => {
  const { cuts, volumes, ops, told } = rig();
  const running = { kind: OP_KIND.write, volume: volumes[1] ?? null };
  ops.push(running, { kind: OP_KIND.read, volume: volumes[0] ?? null });
  ops.push({ kind: OP_KIND.write, volume: volumes[2] ?? null });
  cuts.hold(0, HOLD);
  cuts.pump();
  cuts.hold(10, HOLD);
  t.is(told.length, 0);
  ops.splice(ops.indexOf(running), 1);
  cuts.pump();
  t.like(told.at(-1), { code: MSG.CUT_HELD, body: { ok: true } });
});

test('volumes that are switched before what ran has ended are not certified', (t) => {
  const { cuts, volumes, ops, told } = rig();
  ops.push({ kind: OP_KIND.zero, volume: volumes[0] ?? null });
  cuts.hold(0, HOLD);
  nameCut(volumes.slice(0, 2), 9);
  cuts.mapChanged(1000);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { certified: false } });
});

test('a hold ends by its own clock, lets changes go on, and never certifies', (t) => {
  const { cuts, volumes, told, held, count } = rig();
  cuts.hold(0, HOLD);
  t.is(cuts.nextDeadlineUs(), HOLD_US);
  cuts.tick(HOLD_US);
  t.deepEqual(held(), [false, false, false]);
  t.is(count.released, 1);
  cuts.hold(HOLD_US + 1, HOLD);
  t.like(
    told.at(-1),
    { code: MSG.CUT_HELD, body: { ok: false } },
    'asked again it does not begin anew',
  );
  nameCut(volumes.slice(0, 2), 9);
  cuts.mapChanged(HOLD_US + 2);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { certified: false } });
});

test('a hold that ran out while nobody looked does not certify either', (t) => {
  const { cuts, volumes, told } = rig();
  cuts.hold(0, HOLD);
  nameCut(volumes.slice(0, 2), 9);
  cuts.mapChanged(HOLD_US);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { certified: false } });
});

test('a process that held nothing, as after a restart, says so', (t) => {
  const { cuts, volumes, told } = rig();
  nameCut(volumes.slice(0, 2), 9);
  cuts.mapChanged(0);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { cut: 9, certified: false } });
  t.is(told.length, 1);
  cuts.mapChanged(1);
  t.is(told.length, 1, 'once');
});

test('a cut that is called off lets changes go on', (t) => {
  const { cuts, held, told, volumes } = rig();
  cuts.hold(0, HOLD);
  cuts.hold(0, { ...HOLD, cut: 10, volumes: [5] });
  cuts.drop(9);
  t.deepEqual(held(), [false, true, false], 'what another cut holds stays');
  nameCut(volumes.slice(0, 2), 9);
  cuts.mapChanged(1);
  t.like(told.at(-1), { code: MSG.CUT_SWITCHED, body: { cut: 9, certified: false } });
});

test('volumes that this process does not know are not held', (t) => {
  const { cuts, told, held } = rig();
  cuts.hold(0, { ...HOLD, volumes: [4, 77] });
  t.like(told.at(-1), { code: MSG.CUT_HELD, body: { ok: false } });
  t.deepEqual(held(), [false, false, false]);
});
