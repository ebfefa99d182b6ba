// What an operator does while others work: takes volumes away, gives them back, grows and removes them. It must never
// do what an operator cannot ask for.

import { SIM_CHUNK_SECTORS } from './client-node.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type OperatorTrouble = 'unmap' | 'resize' | 'removeVolume';

function unmap({ cluster, prng, say }: TroubleMaker): boolean {
  const volume = prng.pick(cluster.volumes);
  const client = prng.pick(cluster.clients);
  const { sdcKey } = client;
  if (
    cluster.isChanging ||
    sdcKey === 0 ||
    client.sdc?.map.mapping(volume.key, sdcKey) === undefined
  )
    return false;
  say(`unmaps volume ${volume.key} from sdc${client.number}`);
  cluster.unmap(volume, client);
  return true;
}

function resize({ cluster, prng, say }: TroubleMaker): boolean {
  const volume = prng.pick(cluster.volumes);
  say(`grows volume ${volume.key}`);
  cluster.grow(volume, volume.chunks + prng.between(1, 3), SIM_CHUNK_SECTORS);
  return true;
}

function removeVolume({ cluster, prng, say }: TroubleMaker): boolean {
  if (cluster.isChanging || cluster.volumes.length < 2) return false;
  const volume = prng.pick(cluster.volumes.slice(0, -1));
  say(`removes volume ${volume.key}`);
  cluster.remove(volume);
  return true;
}

export const OPERATOR_TROUBLE: Strikes<OperatorTrouble> = { unmap, resize, removeVolume };
