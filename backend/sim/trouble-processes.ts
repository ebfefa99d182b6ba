// Trouble with processes and power: killed, stopped, without power. It must never touch a disk or a link by itself.

import type { SimProcess } from './process.js';
import type { ServerNode } from './server-node.js';
import type { Strikes, TroubleMaker } from './trouble.js';

export type ProcessTrouble =
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
  | 'pauseClient';

/** Its control process starts the data process again, at once or when the host finds the time. */
function crashData({ prng, server, say, later }: TroubleMaker): boolean {
  const hit = server();
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

function crashControl({ server, say, later }: TroubleMaker): boolean {
  const hit = server();
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

function powerOff(maker: TroubleMaker, servers: readonly ServerNode[]): boolean {
  const { cluster, say, later } = maker;
  const hit = servers.filter(({ host }) => host.powered);
  if (hit.length === 0) return false;
  say(`takes the power of servers ${hit.map(({ number }) => number).join(' ')}`);
  // One server, while nothing else is wrong, is a single failure: no mode loses anything by it.
  const single = hit.length === 1 && maker.open === 0 && maker.isRedundant();
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

function crashMdm({ cluster, say, later }: TroubleMaker): boolean {
  const { mdm } = cluster;
  if (mdm.process?.alive !== true) return false;
  say('kills the MDM');
  mdm.kill();
  later(() => {
    mdm.start();
  });
  return true;
}

function crashClient({ cluster, prng, say, later }: TroubleMaker): boolean {
  const client = prng.pick(cluster.clients);
  if (client.process?.alive !== true) return false;
  say(`kills sdc${client.number}`);
  client.kill();
  later(() => {
    client.start();
  });
  return true;
}

function pause({ cluster, say, later }: TroubleMaker, process: SimProcess | null): boolean {
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
  crashData,
  crashControl,
  crashServer,
  powerServer: (maker) => powerOff(maker, [maker.server()]),
  powerAll: (maker) => powerOff(maker, maker.cluster.servers),
  crashMdm,
  crashClient,
  pauseData: (maker) => pause(maker, maker.server().data),
  pauseControl: (maker) => pause(maker, maker.server().control),
  pauseMdm: (maker) => pause(maker, maker.cluster.mdm.process),
  pauseClient: (maker) => pause(maker, maker.prng.pick(maker.cluster.clients).process),
};
