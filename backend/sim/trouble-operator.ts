// What an operator does while others work: takes volumes away, gives them back, grows and removes them. It must never
// do what an operator cannot ask for.

import type { Strikes, TroubleMaker } from './trouble.js';

export type OperatorTrouble = 'unmap' | 'resize' | 'removeVolume' | 'addServer' | 'removeServer';

function unmap({ cluster, prng, say }: TroubleMaker): boolean {
  const { operator } = cluster;
  const volume = prng.pick(operator.volumes);
  const client = prng.pick(cluster.clients);
  const { sdcKey } = client;
  if (
    operator.isChanging ||
    sdcKey === 0 ||
    client.sdc?.map.mapping(volume.key, sdcKey) === undefined
  )
    return false;
  say(`unmaps volume ${volume.key} from sdc${client.number}`);
  operator.unmap(volume, client);
  return true;
}

function resize({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  const volume = prng.pick(operator.volumes);
  say(`grows volume ${volume.key}`);
  operator.grow(volume, volume.chunks + prng.between(1, 3));
  return true;
}

function removeVolume({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  if (operator.isChanging || operator.volumes.length < 2) return false;
  const volume = prng.pick(operator.volumes.slice(0, -1));
  say(`removes volume ${volume.key}`);
  operator.remove(volume);
  return true;
}

function addServer({ cluster: { operator }, server, say }: TroubleMaker): boolean {
  const added = server();
  if (!operator.serverWork.add(added)) return false;
  say(`adds server ${added.number}`);
  return true;
}

/** One in three operators changes his mind. */
function removeServer({ cluster: { operator }, server, prng, say }: TroubleMaker): boolean {
  const removed = server();
  const aborts = prng.chance(1, 3);
  if (!operator.serverWork.remove(removed, aborts)) return false;
  say(`removes server ${removed.number}${aborts ? ', for a while' : ''}`);
  return true;
}

export const OPERATOR_TROUBLE: Strikes<OperatorTrouble> = {
  unmap,
  resize,
  removeVolume,
  addServer,
  removeServer,
};
