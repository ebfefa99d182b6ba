// Trouble with processes and power: killed, stopped, without power. It must never touch a disk or a link by itself.

import type { ClientNode } from './client-node.js';
import type { SimCluster } from './cluster.js';
import type { EndOwner } from './link-end.js';
import type { MdmNode } from './mdm-node.js';
import type { SimProcess } from './process.js';
import type { ServerNode } from './server-node.js';
import { pickMdm } from './trouble-mdms.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type ProcessTrouble =
  | 'crashFaultSet'
  | 'powerFaultSet'
  | 'stayAwayFaultSet'
  | 'crashData'
  | 'crashControl'
  | 'crashServer'
  | 'powerServer'
  | 'powerAll'
  | 'crashMdm'
  | 'crashClient'
  | 'pauseData'
  | 'pauseControl'
  | 'pauseMdm'
  | 'pauseClient'
  | 'takePort'
  | 'stayAway';

/** Its control process starts the data process again, at once or when the host finds the time. */
function crashData({ prng, say, later }: TroubleMaker, hit: ServerNode): boolean {
  if (hit.data?.alive !== true) return false;
  say(`kills data${hit.number}`);
  if (prng.chance(2, 3)) {
    hit.processes.hold();
    later(() => {
      hit.processes.release();
    });
  }
  hit.killData();
  return true;
}

function crashControl({ say, later }: TroubleMaker, hit: ServerNode): boolean {
  if (hit.control?.alive !== true) return false;
  say(`kills sds${hit.number}`);
  hit.killControl();
  later(() => {
    hit.start();
  });
  return true;
}

function crashServer({ server, say, later }: TroubleMaker): boolean {
  const hit = server();
  if (!hit.host.powered) return false;
  say(`kills all of server ${hit.number}`);
  hit.killAll();
  later(() => {
    hit.start();
  });
  return true;
}

/** Servers that fail together. */
function unitOf({ cluster }: TroubleMaker, one: ServerNode): readonly ServerNode[] {
  return cluster.servers.filter((other) => areOneUnit(cluster, [one, other]));
}

function areOneUnit({ swarm }: SimCluster, servers: readonly ServerNode[]): boolean {
  const { faultSets } = swarm.moves;
  const units = servers.map(({ number }) => (faultSets === 0 ? number : number % faultSets));
  return new Set(units).size === 1;
}

/** Kills all processes of a fault set; where there are none, of a server. */
function crashUnit(maker: TroubleMaker, after: TroubleMaker['later']): boolean {
  const unit = unitOf(maker, maker.server()).filter(({ host }) => host.powered);
  if (unit.length === 0) return false;
  const numbers = unit.map(({ number }) => number).join(' ');
  maker.say(`kills all of the servers ${numbers}, which fail together`);
  for (const hit of unit) hit.killAll();
  after(() => {
    maker.say(`starts the servers ${numbers} again`);
    for (const hit of unit) hit.start();
  });
  return true;
}

export function powerOff(maker: TroubleMaker, servers: readonly ServerNode[]): boolean {
  const { cluster, say, later } = maker;
  const hit = servers.filter(({ host }) => host.powered);
  if (hit.length === 0) return false;
  say(`takes the power of servers ${hit.map(({ number }) => number).join(' ')}`);
  // One server or fault set, while nothing else is wrong, is a single failure: no mode loses anything by it.
  const single = areOneUnit(cluster, hit) && maker.open === 0 && maker.isRedundant();
  const lied = hit.some(({ device }) => device.lied);
  for (const server of hit) server.powerOff();
  const { sim, history } = cluster;
  if (lied) {
    history.lied = true;
    maker.spoiledDisk();
  }
  if (!single || lied) history.losses.push({ atUs: sim.nowUs });
  for (const server of hit)
    later(() => {
      say(`gives server ${server.number} its power back`);
      server.powerOn();
    });
  return true;
}

function crashMdm({ say, later }: TroubleMaker, hit: MdmNode): boolean {
  if (hit.process?.alive !== true) return false;
  say(`kills ${hit.process.name}`);
  hit.kill();
  later(() => {
    hit.start();
  });
  return true;
}

function crashClient({ say, later }: TroubleMaker, client: ClientNode): boolean {
  if (client.process?.alive !== true) return false;
  say(`kills sdc${client.number}`);
  client.kill();
  later(() => {
    client.start();
  });
  return true;
}

/** Kills a process, whichever it is. */
export function crash(maker: TroubleMaker, process: EndOwner): boolean {
  const { servers, clients, mdms } = maker.cluster;
  const mdm = mdms.find((other) => other.process === process);
  if (mdm !== undefined) return crashMdm(maker, mdm);
  const client = clients.find((other) => other.process === process);
  if (client !== undefined) return crashClient(maker, client);
  for (const server of servers) {
    if (server.data === process) return crashData(maker, server);
    if (server.control === process) return crashControl(maker, server);
  }
  return false;
}

/** Kills a data process whose port somebody else takes before it is started again. */
function takePort(maker: TroubleMaker): boolean {
  const hit = maker.server();
  if (hit.data?.alive !== true) return false;
  maker.say(`takes the port of data${hit.number}`);
  hit.processes.takePort();
  return crashData(maker, hit);
}

/** Kills all of a server, which comes back only when its data may have been made anew elsewhere. */
function stayAway({ server, say, muchLater }: TroubleMaker): boolean {
  const hit = server();
  if (hit.control?.alive !== true || !hit.host.powered) return false;
  say(`kills all of server ${hit.number} for long`);
  hit.killAll();
  muchLater(() => {
    say(`starts server ${hit.number} again`);
    hit.start();
  });
  return true;
}

/** Stops a process for a while. */
export function pause({ cluster, say, later }: TroubleMaker, process: SimProcess | null): boolean {
  if (process?.alive !== true || process.paused) return false;
  say(`stops ${process.name}`);
  process.pause();
  cluster.network.reachabilityChanged();
  later(() => {
    say(`continues ${process.name}`);
    process.proceed();
    cluster.network.reachabilityChanged();
  });
  return true;
}

export const PROCESS_TROUBLE: Strikes<ProcessTrouble> = {
  crashData: (maker) => crashData(maker, maker.server()),
  crashControl: (maker) => crashControl(maker, maker.server()),
  crashServer,
  powerServer: (maker) => powerOff(maker, [maker.server()]),
  powerAll: (maker) => powerOff(maker, maker.cluster.servers),
  crashMdm: (maker) => crashMdm(maker, pickMdm(maker)),
  crashClient: (maker) => crashClient(maker, maker.prng.pick(maker.cluster.clients)),
  pauseData: (maker) => pause(maker, maker.server().data),
  pauseControl: (maker) => pause(maker, maker.server().control),
  pauseMdm: (maker) => pause(maker, pickMdm(maker).process),
  pauseClient: (maker) => pause(maker, maker.prng.pick(maker.cluster.clients).process),
  takePort,
  stayAway,
  crashFaultSet: (maker) => crashUnit(maker, maker.later),
  powerFaultSet: (maker) => powerOff(maker, unitOf(maker, maker.server())),
  stayAwayFaultSet: (maker) => crashUnit(maker, maker.muchLater),
};
