// The command that ends an upgrade. What follows from it (formats in the store and on devices, commands that came with the
// version) is decided where these are made.

import { VERSION_MAX } from '../../protocol/generated/constants.js';
import { refuseWith } from '../refusal.js';
import { NOTHING } from './context.js';
import type { Handlers } from './context.js';

export const UPGRADE_COMMANDS: Handlers<'RAISE_CLUSTER_VERSION'> = {
  RAISE_CLUSTER_VERSION({ nowUs, state, seen }, { version: wanted }) {
    const { system } = state;
    const cluster = system.clusterVersion;
    // Asked twice it is done once.
    if (wanted === cluster) return NOTHING;
    if (wanted < cluster || wanted > VERSION_MAX)
      refuseWith('CLUSTER_VERSION_WRONG', { wanted, cluster, newest: VERSION_MAX });
    const components = seen.componentsBelow(nowUs, wanted);
    if (components !== '') refuseWith('COMPONENTS_OLD', { wanted, components });
    state.systems.put(system.key, { ...system, clusterVersion: wanted });
    return NOTHING;
  },
};
