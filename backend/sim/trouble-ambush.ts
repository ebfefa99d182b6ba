// Trouble at a chosen moment: something breaks just when a message of a certain kind is on its way. What happens between
// two messages that follow each other within a millisecond is not found by trouble that comes at any time. It must never
// change the message itself.

import { MSG } from '../protocol/generated/constants.js';
import { getCode } from '../protocol/generated/frame-head.js';

import type { LinkEnd } from './link-end.js';
import type { FrameWatcher } from './network.js';
import { SimProcess } from './process.js';
import { crash, pause } from './trouble-processes.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type AmbushTrouble = 'ambush';

/** Messages that change who has what: around them, much is known to one side only. */
const MESSAGES: readonly number[] = [
  MSG.REGISTER_DEVICE,
  MSG.COMB_CHANGE,
  MSG.COMB_CHANGE,
  MSG.COMB_CHANGE_REPLY,
  MSG.MAP_UPDATE,
  MSG.PEER_JOIN,
  MSG.PEER_JOINED,
  MSG.PEER_OPS,
  MSG.PEER_ACTIVE,
  MSG.PEER_FLUSH,
  MSG.PEER_READ,
  MSG.PEER_REFUSED,
  MSG.PEER_WRITE,
  MSG.SETTLED,
  MSG.LEASE_RELEASE,
  MSG.FLUSH,
  MSG.OPS_SETTLED,
];

/** Messages that change who carries what. */
const MOVE_MESSAGES: readonly number[] = [
  MSG.REGISTER_DEVICE,
  MSG.COMB_CHANGE,
  MSG.COMB_CHANGE,
  MSG.COMB_CHANGE_REPLY,
  MSG.COMB_CHANGE_REPLY,
  MSG.COMB_CHANGE_REPLY,
  MSG.COMB_QUERY,
  MSG.COMB_QUERY_REPLY,
  MSG.MAP_UPDATE,
];

/** What becomes of whom. */
const STRIKES: readonly ((maker: TroubleMaker, from: LinkEnd, to: LinkEnd | null) => void)[] = [
  (maker, from) => {
    crash(maker, from.process);
  },
  (maker, _from, to) => {
    if (to !== null) crash(maker, to.process);
  },
  ({ cluster }, from) => {
    if (from.isOpen()) cluster.network.breakLink(from);
  },
  (maker, from) => {
    if (from.process instanceof SimProcess) pause(maker, from.process);
  },
  (maker, _from, to) => {
    if (to?.process instanceof SimProcess) pause(maker, to.process);
  },
  ({ cluster, prng }, from) => {
    const { network, sim, swarm } = cluster;
    if (from.isOpen()) network.stall(from, sim.nowUs + prng.below(swarm.troubleUsMax));
  },
];

/** Both ends die more often than not: what one of them has just made true is known to nobody else. */
const MOVE_STRIKES: typeof STRIKES = [
  ...STRIKES,
  ...STRIKES.slice(0, 2),
  ...Array.from({ length: 4 }, () => (maker: TroubleMaker, from: LinkEnd, to: LinkEnd | null) => {
    crash(maker, from.process);
    if (to !== null) crash(maker, to.process);
  }),
];

function ambush(maker: TroubleMaker): boolean {
  const { cluster, prng, say, later } = maker;
  const { network, sim } = cluster;
  if (network.spy !== null) return false;
  const code = prng.pick(cluster.swarm.moves.ambushes ? MOVE_MESSAGES : MESSAGES);
  const strike = prng.pick(cluster.swarm.moves.ambushes ? MOVE_STRIKES : STRIKES);
  const delayUs = prng.pick([1, 1, 100, 400, 2_000, 20_000]);
  let wanted = prng.pick([1, 1, 2, 5]);
  say(`lies in wait for message ${code}`);
  const spy: FrameWatcher = (from, to, view, at) => {
    if (getCode(view, at) !== code || --wanted > 0) return;
    network.spy = null;
    // The input that sends the message ends first.
    const fire = (): void => {
      say(`strikes at message ${code} from ${from.process.name}`);
      strike(maker, from, to);
    };
    sim.queue.push(sim.nowUs + delayUs, { fire }, 0, 0);
  };
  network.spy = spy;
  later(() => {
    if (network.spy === spy) network.spy = null;
  });
  return true;
}

export const AMBUSH: Strikes<AmbushTrouble> = { ambush };
