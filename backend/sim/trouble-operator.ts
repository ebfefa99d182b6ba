// What an operator does while others work: takes volumes away, gives them back, grows and removes them. It must never
// do what an operator cannot ask for.

import type { ServerNode } from './server-node.js';
import { setCache } from './trouble-caches.js';
import { powerOff } from './trouble-processes.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type OperatorTrouble =
  | 'unmap'
  | 'resize'
  | 'removeVolume'
  | 'addServer'
  | 'removeServer'
  | 'moveServer'
  | 'stopDomain'
  | 'stopRebuild'
  | 'restServer'
  | 'emptyServer'
  | 'setSpare'
  | 'setCache'
  | 'setLimits'
  | 'setFullPolicy'
  | 'snapshot'
  | 'revertVolume'
  | 'autoSnapshots';

function unmap({ cluster, prng, say }: TroubleMaker): boolean {
  const { operator } = cluster;
  const volume = prng.pick(operator.volumes);
  const client = prng.pick(cluster.clients);
  const { sdcKey } = client;
  if (
    operator.volumeWork.isChanging ||
    operator.snapshotWork.isChanging ||
    sdcKey === 0 ||
    client.sdc?.map.mapping(volume.key, sdcKey) === undefined
  )
    return false;
  say(`unmaps volume ${volume.key} from sdc${client.number}`);
  operator.volumeWork.unmap(volume, client);
  return true;
}

function resize({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  const volume = prng.pick(operator.volumes);
  say(`grows volume ${volume.key}`);
  operator.volumeWork.grow(volume, volume.chunks + prng.between(1, 3));
  return true;
}

function removeVolume({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  if (operator.volumeWork.isChanging || operator.snapshotWork.isChanging) return false;
  if (operator.volumes.length < 2) return false;
  const volume = prng.pick(operator.volumes.slice(0, -1));
  say(`removes volume ${volume.key}`);
  operator.volumeWork.remove(volume);
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

/** Servers that go to the other protection domain mostly come back, sooner or later. */
function moveServer({ cluster: { operator }, server, prng, say }: TroubleMaker): boolean {
  const moved = server();
  const end = prng.pick(['stays', 'aborts', 'aborts', 'returns', 'returns'] as const);
  if (!operator.serverWork.move(moved, end)) return false;
  say(`moves server ${moved.number} to the other domain (${end})`);
  return true;
}

function stopDomain({ cluster: { operator }, say }: TroubleMaker): boolean {
  if (!operator.policyWork.stopDomain()) return false;
  say('stops the protection domain for a while');
  return true;
}

function stopRebuild({ cluster: { operator }, say }: TroubleMaker): boolean {
  if (!operator.policyWork.stopRebuild()) return false;
  say('switches rebuilds off for a while');
  return true;
}

/** Takes a server out for maintenance, in which it may be killed, lose its power, or be left alone. */
function maintain(maker: TroubleMaker, maintenance: 'instant' | 'protected'): boolean {
  const { cluster, prng, say } = maker;
  const rested = maker.server();
  // Two things at once that take copies away would be one too many.
  if (!maker.isRedundant()) return false;
  const withPower = prng.chance(1, 2);
  const work = (server: ServerNode): (() => void) => {
    if (withPower) {
      say(`kills all of server ${server.number}, which rests`);
      server.killAll();
    } else powerOff(maker, [server]);
    return () => {
      server.powerOn();
      server.start();
    };
  };
  if (!cluster.operator.policyWork.maintain(rested, maintenance, work)) return false;
  say(`takes server ${rested.number} out for ${maintenance} maintenance`);
  return true;
}

/** Half of them insist, whatever the pool holds. */
function setSpare({ cluster: { operator, swarm }, prng, say }: TroubleMaker): boolean {
  if (swarm.spares.length === 0) return false;
  const percent = prng.pick(swarm.spares);
  const force = prng.chance(1, 2);
  say(`sets the spare to ${percent} %${force ? ' by force' : ''}`);
  operator.policyWork.setSpare(percent, force);
  return true;
}

/** Requests and bytes a second of a client on a volume: few enough that requests wait, or no limit. */
function setLimits({ cluster, prng, say }: TroubleMaker): boolean {
  const { operator } = cluster;
  const volume = prng.pick(operator.volumes);
  const client = prng.pick(cluster.clients);
  if (client.sdcKey === 0) return false;
  const iops = prng.pick([0, 11, 40, 200, 1000]);
  const kbps = prng.pick([0, 0, 4, 64]);
  say(`limits sdc${client.number} on volume ${volume.key} to ${iops} requests and ${kbps} KiB/s`);
  operator.volumeWork.limit(volume, client, iops, kbps);
  return true;
}

function setFullPolicy({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  const volume = prng.pick(operator.volumes);
  const fullPolicy = prng.pick(['pool', 'wait', 'error'] as const);
  say(`has writes to volume ${volume.key} do "${fullPolicy}" when the pool is full`);
  operator.volumeWork.setFullPolicy(volume, fullPolicy);
  return true;
}

/** Of some volumes as of one moment, also of snapshots. */
function snapshot({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  if (operator.volumeWork.isChanging) return false;
  const all = prng.chance(1, 2);
  const sources = operator.volumes.filter(() => all || prng.chance(1, 2));
  if (sources.length === 0 || !operator.snapshotWork.snapshot(sources)) return false;
  say(`takes a snapshot of volumes ${sources.map(({ key }) => key).join(' ')}`);
  return true;
}

function revertVolume({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  if (operator.volumeWork.isChanging || operator.volumes.length < 2) return false;
  const volume = prng.pick(operator.volumes);
  const source = prng.pick(operator.volumes);
  if (!operator.snapshotWork.revert(volume, source)) return false;
  say(`reverts volume ${volume.key} to ${source.key}`);
  return true;
}

function autoSnapshots({ cluster: { operator }, prng, say }: TroubleMaker): boolean {
  const done = operator.autoWork.act(prng);
  if (done === null) return false;
  say(done);
  return true;
}

export const OPERATOR_TROUBLE: Strikes<OperatorTrouble> = {
  unmap,
  resize,
  removeVolume,
  addServer,
  removeServer,
  moveServer,
  setSpare,
  setCache,
  setLimits,
  setFullPolicy,
  snapshot,
  revertVolume,
  autoSnapshots,
  stopDomain,
  stopRebuild,
  restServer: (maker) => maintain(maker, 'instant'),
  emptyServer: (maker) => maintain(maker, 'protected'),
};
