// Commands about client hosts.

import { normalizeGuid } from '../../core/ids.js';
import { LIMIT } from '../../protocol/generated/constants.js';
import type { Sdc } from '../../protocol/generated/types.js';
import { isIp, validName } from '../names.js';
import { found, refuse } from '../refusal.js';
import type { State } from '../state.js';
import { NOTHING } from './context.js';
import type { Handlers } from './context.js';

/** The known SDC of a GUID or, without one, of an address. */
function knownSdc(state: State, guid: string, host: string): Sdc | undefined {
  if (guid !== '') return state.sdcs.find((sdc) => sdc.guid === guid);
  return state.sdcs.find(({ addresses }) => addresses.some((address) => address.host === host));
}

export const SDC_COMMANDS: Handlers<'RENAME_SDC' | 'APPROVE_SDC' | 'REMOVE_SDC'> = {
  RENAME_SDC({ state }, { key, name }) {
    const sdc = found(state.sdcs.get(key), 'SDC_NOT_FOUND');
    validName(name);
    const other = state.sdcs.find((candidate) => candidate.name === name);
    if (other !== undefined && other.key !== key) refuse('SDC_NAME_IN_USE');
    state.sdcs.put(key, { ...sdc, name });
    return NOTHING;
  },

  APPROVE_SDC({ state }, params) {
    if (params.key !== 0) {
      const sdc = found(state.sdcs.get(params.key), 'SDC_NOT_FOUND');
      if (!sdc.approved) state.sdcs.put(sdc.key, { ...sdc, approved: true });
      return { key: sdc.key };
    }
    const { host } = params;
    if (params.guid === '' && host === '')
      refuse('INVALID_PARAMETER', 'one of key, guid and host must be given');
    const guid = params.guid === '' ? '' : normalizeGuid(params.guid);
    if (guid === null) refuse('INVALID_PARAMETER', 'guid must have the form 8-4-4-4-12');
    if (host !== '' && !isIp(host)) refuse('INVALID_PARAMETER', 'host must be an IP address');
    const sdc = knownSdc(state, guid, host);
    if (sdc?.approved === false) state.sdcs.put(sdc.key, { ...sdc, approved: true });
    const approved = state.approvedSdcs.find((row) => row.guid === guid && row.host === host);
    if (approved !== undefined) return { key: sdc?.key ?? approved.key };
    if (state.approvedSdcs.size >= LIMIT.sdcMax)
      refuse('TOO_MANY', `at most ${LIMIT.sdcMax} approvals`);
    const key = state.newKey();
    state.approvedSdcs.put(key, { key, guid, host });
    return { key: sdc?.key ?? key };
  },

  REMOVE_SDC({ state, seen }, { key }) {
    const sdc = found(state.sdcs.get(key), 'SDC_NOT_FOUND');
    if (state.mappings.volumesOf(key).size > 0) refuse('SDC_HAS_MAPPINGS');
    if (seen.sdcConnected(key)) refuse('SDC_CONNECTED');
    state.sdcs.delete(key);
    // What was approved by GUID was approved for this host: it must be approved again.
    for (const row of state.approvedSdcs.filter(({ guid }) => guid === sdc.guid))
      state.approvedSdcs.delete(row.key);
    return NOTHING;
  },
};
