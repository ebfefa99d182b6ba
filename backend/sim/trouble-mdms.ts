// Trouble with the store that several MDMs share, and whom trouble with an MDM hits. It must never touch what the store holds.

import type { MdmNode } from './mdm-node.js';
import type { Strikes, TroubleMaker } from './trouble.js';

/** How long a switch of the MDM cluster takes, about. */
const CHANGE_US = 3_000_000;

export type MdmTrouble =
  | 'cutStore'
  | 'stopStore'
  | 'fillStore'
  | 'endMdm'
  | 'switchMdms'
  | 'exchangeMdm'
  | 'crashTieBreaker'
  | 'restoreMdm';

/** Mostly the master: trouble with a standby shows little. */
export function pickMdm({ cluster, prng }: TroubleMaker): MdmNode {
  const { mdms, mdm } = cluster;
  if (mdms.length === 1) return mdm;
  const masters = mdms.filter((each) => each.isMaster());
  return prng.chance(3, 4) && masters.length > 0 ? prng.pick(masters) : prng.pick(mdms);
}

/** The master goes on for the others' eyes, but nothing that it asks the store arrives. */
function cutStore(maker: TroubleMaker): boolean {
  const { etcd } = maker.cluster;
  if (etcd === null) return false;
  const { address } = pickMdm(maker).host;
  if (etcd.cutOff.has(address)) return false;
  maker.say(`cuts ${address} off from the metadata store`);
  etcd.cutOff.add(address);
  maker.later(() => {
    etcd.cutOff.delete(address);
  });
  return true;
}

function stopStore({ cluster, say, later }: TroubleMaker): boolean {
  const { etcd } = cluster;
  if (etcd === null || etcd.down) return false;
  say('stops the metadata store');
  etcd.down = true;
  later(() => {
    say('the metadata store answers again');
    etcd.down = false;
  });
  return true;
}

function fillStore({ cluster, say, later }: TroubleMaker): boolean {
  const { etcd } = cluster;
  if (etcd === null || etcd.full) return false;
  say('fills the metadata store');
  etcd.full = true;
  later(() => {
    say('the metadata store has room again');
    etcd.full = false;
  });
  return true;
}

/** SIGTERM: it gives the master key up before it ends. */
function endMdm(maker: TroubleMaker): boolean {
  const hit = pickMdm(maker);
  const { process, manager } = hit;
  if (manager === null || process?.alive !== true || process.paused) return false;
  maker.say(`ends ${process.name}`);
  process.input(() => {
    manager.stop();
  });
  hit.kill();
  maker.later(() => {
    hit.start();
  });
  return true;
}

/** The operator changes how many members the cluster has, and who they are. */
function switchMdms(maker: TroubleMaker): boolean {
  const { cluster, say } = maker;
  const { operator, mdms } = cluster;
  if (mdms.length === 1 || operator.isSwitching) return false;
  say('has the MDM cluster switched');
  operator.switchMdms();
  crashMeanwhile(maker);
  return true;
}

/** The operator puts a standby in the place of a member. */
function exchangeMdm(maker: TroubleMaker): boolean {
  const { operator, mdms } = maker.cluster;
  if (mdms.length === 1 || operator.isSwitching) return false;
  maker.say('has a member of the MDM cluster exchanged');
  operator.exchangeMdm();
  crashMeanwhile(maker);
  return true;
}

/** What a change is made of takes place in the moments after. */
function crashMeanwhile(maker: TroubleMaker): void {
  const { prng } = maker;
  const { sim } = maker.cluster;
  for (let kills = prng.pick([0, 1, 1, 2]); kills > 0; kills--) {
    const kill = (): void => {
      crash(maker);
    };
    sim.queue.push(sim.nowUs + prng.below(CHANGE_US), { fire: kill }, 0, 0);
  }
}

function crash(maker: TroubleMaker): void {
  if (maker.ended) return;
  const hit = pickMdm(maker);
  if (hit.process?.alive !== true) return;
  maker.say(`kills ${hit.process.name} while the MDM cluster is switched`);
  hit.kill();
  maker.later(() => {
    hit.start();
  });
}

function crashTieBreaker({ cluster: { tieBreakers }, prng, say, later }: TroubleMaker): boolean {
  if (tieBreakers.length === 0) return false;
  const hit = prng.pick(tieBreakers);
  if (hit.process?.alive !== true) return false;
  say(`kills the tie-breaker ${hit.host.address}`);
  hit.kill();
  later(() => {
    hit.start();
  });
  return true;
}

/**
 * The operator takes a backup; later he loses everything else, stops the MDMs and goes on with that on one of them. The others
 * forget what they were part of, but for one whose host he does not reach.
 */
function restoreMdm({ cluster, prng, say, later }: TroubleMaker): boolean {
  const { mdms, tieBreakers, etcd, operator } = cluster;
  const mdm = mdms.length === 1 ? cluster.mdm : prng.pick(mdms);
  const content = prng.chance(2, 3) ? operator.backupWork.toRestore(mdm.host.address) : null;
  if (content === null) {
    if (!operator.backupWork.take()) return false;
    say('takes a backup of the metadata');
    return true;
  }
  say(`loses the metadata and restores the backup, from commit ${content.sequence} on`);
  const all = [...mdms, ...tieBreakers];
  for (const node of all) node.kill();
  etcd?.putAside();
  mdm.restore(content);
  const others = all.filter((node) => node !== mdm);
  // Whoever has the content in a store of his own is never missed: nobody could tell him what became of it.
  const members = others.filter(({ isLeftBehind }) => isLeftBehind);
  const missed = members.length > 0 && prng.chance(1, 2) ? prng.pick(members) : null;
  for (const node of others) if (node !== missed) node.forget();
  for (const node of all)
    later(() => {
      node.start();
    });
  operator.backupWork.follow();
  return true;
}

export const MDM_TROUBLE: Strikes<MdmTrouble> = {
  ...{ cutStore, stopStore, fillStore, endMdm, switchMdms, exchangeMdm, crashTieBreaker },
  restoreMdm,
};
