// Trouble with the store that several MDMs share, and whom trouble with an MDM hits. It must never touch what the store holds.

import type { MdmNode } from './mdm-node.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type MdmTrouble = 'cutStore' | 'stopStore' | 'fillStore' | 'endMdm';

/** Mostly the master: trouble with a standby shows little. */
export function pickMdm({ cluster, prng }: TroubleMaker): MdmNode {
  const { mdms, mdm } = cluster;
  if (mdms.length === 1) return mdm;
  const masters = mdms.filter(({ manager }) => manager?.isMaster() === true);
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

export const MDM_TROUBLE: Strikes<MdmTrouble> = { cutStore, stopStore, fillStore, endMdm };
