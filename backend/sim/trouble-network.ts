// Trouble between hosts: cut off, slow, links that stall or break. It must never lose a frame of a link that stays up.

import type { SimHost } from './host.js';
import type { LinkEnd } from './link-end.js';
import { pickMdm } from './trouble-mdms.js';
import { pause } from './trouble-processes.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type NetworkTrouble =
  | 'cutServers'
  | 'cutOneWay'
  | 'cutClient'
  | 'cutMdm'
  | 'slowNetwork'
  | 'stallLink'
  | 'breakLink'
  | 'muteLinks'
  | 'island';

/** From the loss of the MDM until the others are lost; a server is replaced after 1.5 s. */
const ISLAND_DELAYS_US = [0, 500_000, 1_000_000, 1_400_000];

function isolate(maker: TroubleMaker, host: SimHost, from: readonly SimHost[]): boolean {
  const { cluster, prng, say, later } = maker;
  const others = from.filter((other) => other !== host && prng.chance(2, 3));
  if (others.length === 0) return false;
  say(`cuts ${host.address} off from ${others.map(({ address }) => address).join(' ')}`);
  const set = (on: boolean): void => {
    for (const other of others) {
      cluster.network.cut(host, other, on);
      cluster.network.cut(other, host, on);
    }
  };
  set(true);
  later(() => {
    set(false);
  });
  return true;
}

/**
 * A server and a client see each other and in the end nobody else, first of all no MDM: the one must not serve what others
 * have replaced, however late it notices that they are gone (C5).
 */
function island(maker: TroubleMaker): boolean {
  const { cluster, prng, say, later } = maker;
  const { network, sim, mdm } = cluster;
  const server = maker.server();
  // A client that only reads, where there is one, is not held up by a write that cannot end.
  const client = prng.chance(1, 2) ? cluster.clients[0] : prng.pick(cluster.clients);
  if (client === undefined) return false;
  const inside = [server.host, client.host];
  const others = network.hosts.filter((host) => host !== mdm.host && !inside.includes(host));
  say(`cuts ${inside.map(({ address }) => address).join(' ')} off from everybody else`);
  const set = (from: readonly SimHost[], on: boolean): void => {
    for (const one of inside)
      for (const other of from) {
        network.cut(one, other, on);
        network.cut(other, one, on);
      }
  };
  let isOver = false;
  const gone = [mdm.host];
  const fire = (): void => {
    if (isOver) return;
    gone.push(...others);
    set(others, true);
  };
  set(gone, true);
  sim.queue.push(sim.nowUs + prng.pick(ISLAND_DELAYS_US), { fire }, 0, 0);
  later(() => {
    isOver = true;
    set(gone, false);
  });
  if (prng.chance(1, 4)) pause(maker, server.data);
  return true;
}

function cutOneWay({ cluster, prng, server, say, later }: TroubleMaker): boolean {
  const { network } = cluster;
  const from = server().host;
  const to = prng.pick(network.hosts);
  if (from === to) return false;
  const [one, other] = prng.chance(1, 2) ? [from, to] : [to, from];
  say(`cuts the way from ${one.address} to ${other.address}`);
  network.cut(one, other, true);
  later(() => {
    network.cut(one, other, false);
  });
  return true;
}

function slowNetwork({ cluster, prng, say, later }: TroubleMaker): boolean {
  const host = prng.pick(cluster.network.hosts);
  say(`slows the network of ${host.address}`);
  cluster.network.setSlow(host, prng.pick([2_000, 20_000, 200_000]));
  later(() => {
    cluster.network.setSlow(host, 0);
  });
  return true;
}

/** A handshake passes, larger packets do not. What runs on the host connects anew. */
function muteLinks({ cluster, prng, say, later }: TroubleMaker): boolean {
  const { network } = cluster;
  const host = prng.pick(network.hosts);
  say(`mutes new connections of ${host.address}`);
  network.setMute(host, true);
  for (const end of network.upEnds())
    if (end.process.host === host && prng.chance(1, 2)) network.breakLink(end);
  later(() => {
    network.setMute(host, false);
  });
  return true;
}

function hitLink(maker: TroubleMaker, stall: boolean): boolean {
  const { cluster, prng, say } = maker;
  const { network, sim, swarm } = cluster;
  const ends = network.upEnds();
  if (ends.length === 0) return false;
  const end = prng.pick(ends);
  say(`${stall ? 'stalls' : 'breaks'} link ${end.id} of ${end.process.name}`);
  if (stall) network.stall(end, sim.nowUs + prng.below(swarm.troubleUsMax));
  else breakLate(maker, end);
  return true;
}

/** Frames pile up before the break, so that some arrive late, while a newer connection is in use (C10). */
function breakLate({ cluster, prng }: TroubleMaker, end: LinkEnd): void {
  const { network, sim } = cluster;
  const pileUs = prng.pick([0, 20_000, 200_000]);
  if (pileUs === 0) {
    network.breakLink(end);
    return;
  }
  network.stall(end, sim.nowUs + pileUs + 1);
  sim.queue.push(
    sim.nowUs + pileUs,
    {
      fire: () => {
        if (end.isOpen()) network.breakLink(end);
      },
    },
    0,
    0,
  );
}

export const NETWORK_TROUBLE: Strikes<NetworkTrouble> = {
  cutServers: (maker) =>
    isolate(
      maker,
      maker.server().host,
      maker.cluster.servers.map(({ host }) => host),
    ),
  cutOneWay,
  cutClient: (maker) =>
    isolate(maker, maker.prng.pick(maker.cluster.clients).host, [maker.server().host]),
  cutMdm: (maker) => {
    const { cluster, prng } = maker;
    const other = prng.chance(1, 4) ? prng.pick(cluster.clients).host : maker.server().host;
    return isolate(maker, pickMdm(maker).host, [other]);
  },
  slowNetwork,
  stallLink: (maker) => hitLink(maker, true),
  breakLink: (maker) => hitLink(maker, false),
  muteLinks,
  island,
};
