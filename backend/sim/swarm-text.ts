// A scenario in one line for its reader. It must never leave out a kind of trouble that can happen in it.

import type { MoveOptions, Swarm } from './swarm-options.js';
import {
  FURTHER_KINDS,
  KINDS,
  MDM_KINDS,
  MOVE_KINDS,
  POLICY_KINDS,
  SINGLE_KINDS,
  SLOW_KINDS,
} from './trouble-kinds.js';

function describeMoves({ combsMax, lateServers, faultSets }: MoveOptions): string {
  if (combsMax === 0) return '';
  const later = lateServers > 0 ? `, ${lateServers} servers later` : '';
  return `, data moves${later}${faultSets > 0 ? `, ${faultSets} fault sets` : ''}`;
}

/** The parts of a scenario that a reader wants to know first. */
export function describeSwarm(swarm: Swarm): string {
  const moved = [...MOVE_KINDS, ...POLICY_KINDS, ...SLOW_KINDS, ...SINGLE_KINDS];
  const kinds = [...new Set([...KINDS, ...FURTHER_KINDS, ...MDM_KINDS, ...moved])];
  const trouble = kinds.filter((kind) => swarm.trouble[kind] > 0).join(' ');
  const { servers, clients, volumeChunks, durability } = swarm;
  return `${servers} servers, ${clients} clients, ${swarm.mdms > 1 ? `${swarm.mdms} MDMs, ` : ''}volumes of ${volumeChunks.join('+')} chunks, ${1 << swarm.combLog2} combs, ${durability}, ${swarm.realDevice ? 'real' : 'modelled'} devices${swarm.capacityBlocks > 0 ? ` of ${swarm.capacityBlocks} blocks (${swarm.fullPolicy})` : ''}${swarm.overLimit ? ', over the limit' : ''}${describeMoves(swarm.moves)}; trouble: ${trouble === '' ? 'none' : trouble}`;
}
