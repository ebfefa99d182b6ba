// Trouble about the moment of a cut: a device, and mostly a client too, hears of the new layers only when the hold is long
// over. It must never lose or reorder what is on its way.

import { MSG } from '../protocol/generated/constants.js';
import { getCode } from '../protocol/generated/frame-head.js';
import { MICROS_PER_MS } from '../core/units.js';

import type { LinkEnd } from './link-end.js';
import type { FrameWatcher } from './network.js';
import { pickMdm } from './trouble-mdms.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type CutTrouble = 'lateSwitch' | 'leaveRevert';

/** After a hold the MDM waits this long for certificates, and links that carry nothing end after two seconds. */
const LATE_US_MAX = 900_000;

/**
 * Takes a snapshot of all volumes. The link that brings one device the map with the new layers carries nothing until its
 * hold has run out: what it begins from then on goes to layers that others have frozen.
 */
function lateSwitch(maker: TroubleMaker): boolean {
  const { cluster, prng, say, later } = maker;
  const { network, sim, swarm, operator } = cluster;
  if (network.spy !== null || operator.volumeWork.isChanging) return false;
  const server = maker.server();
  const client = prng.chance(3, 4) ? prng.pick(cluster.clients) : null;
  const lateUs = swarm.cutHoldMs * MICROS_PER_MS + prng.below(LATE_US_MAX);
  let isHeld = false;
  const stall = (end: LinkEnd): void => {
    if (end.isOpen()) network.stall(end, sim.nowUs + lateUs);
  };
  const spy: FrameWatcher = (from, to, view, at) => {
    if (to?.process !== server.data) return;
    const code = getCode(view, at);
    if (code === MSG.CUT_HOLD) isHeld = true;
    if (code !== MSG.MAP_UPDATE || !isHeld) return;
    network.spy = null;
    say(`delays the map for ${to.process.name} by ${lateUs} us`);
    stall(from);
    if (client === null) return;
    for (const end of network.upEnds())
      if (end.process === client.process && end.other?.process === from.process) stall(end);
  };
  if (!operator.snapshotWork.snapshot(operator.volumes)) return false;
  say('takes a snapshot of all volumes, of which one device hears late');
  network.spy = spy;
  later(() => {
    if (network.spy === spy) network.spy = null;
  });
  return true;
}

/** The operator goes on without knowing whether a revert came about; half of the time because the MDM was killed over it. */
function leaveRevert(maker: TroubleMaker): boolean {
  const { cluster, prng, say, later } = maker;
  const { operator, sim } = cluster;
  if (operator.volumeWork.isChanging || operator.volumes.length < 2) return false;
  const volume = prng.pick(operator.volumes);
  const source = prng.pick(operator.volumes);
  const mdm = pickMdm(maker);
  const patienceUs = prng.pick([1, 2_000, 20_000, 200_000]);
  const killsInUs = prng.pick([0, 0, 1_000, 5_000, 20_000, 100_000]);
  if (!operator.snapshotWork.revertAndLeave(volume, source, patienceUs, asked)) return false;
  say(
    `reverts volume ${volume.key} to ${source.key}, and does not wait longer than ${patienceUs} us`,
  );
  return true;

  function asked(): void {
    if (killsInUs === 0) return;
    const fire = (): void => {
      if (maker.ended || mdm.process?.alive !== true) return;
      say(`kills ${mdm.process.name} over a revert`);
      mdm.kill();
      later(() => {
        mdm.start();
      });
    };
    sim.queue.push(sim.nowUs + killsInUs, { fire }, 0, 0);
  }
}

export const CUT_TROUBLE: Strikes<CutTrouble> = { lateSwitch, leaveRevert };
