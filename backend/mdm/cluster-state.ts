// What the committed state says of the MDM cluster, and how this MDM comes into it. It must never ask anybody.

import type { Mdm, MdmCluster } from '../protocol/generated/types.js';
import { validName } from './names.js';
import type { MdmOptions } from './options.js';
import type { State } from './state.js';

const NONE: MdmCluster = { key: 1, job: null, lastJob: 0, lastReason: '' };

export function clusterOf(state: State): MdmCluster {
  return state.clusters.get(NONE.key) ?? NONE;
}

/** This MDM among those of the system, known by its address. */
export function selfOf(state: State, { addresses, port }: MdmOptions): Mdm | undefined {
  return state.mdms.find(
    (mdm) => mdm.port === port && addresses.some(({ host }) => host === mdm.host),
  );
}

export function membersOf(state: State): Mdm[] {
  return state.mdms.filter(({ member }) => member);
}

/** The only MDM of a system is known from its first start on, and under another address when it has one. Called as work. */
export function noteSelf(state: State, options: MdmOptions): void {
  const [address] = options.addresses;
  if (address === undefined || selfOf(state, options) !== undefined) return;
  const { port, clientPort, peerPort, name } = options;
  const place = { host: address.host, port, clientPort, peerPort };
  const [known, another] = membersOf(state);
  if (another !== undefined) return;
  if (known !== undefined) {
    state.mdms.put(known.key, { ...known, ...place });
    return;
  }
  const key = state.newKey();
  state.mdms.put(key, { key, name: validName(name), ...place, role: 'manager', member: true });
}

/** What an MDM is called in the shared store: names of people change. */
export function placeName({ host, port }: Pick<Mdm, 'host' | 'port'>): string {
  return `${host} ${port}`;
}
