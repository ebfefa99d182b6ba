// Who relies on a mapping. A mapping that holders were noted for lasts until the last of them has left, so that a late
// farewell of one never takes the mapping away from another. Judged and committed with the mapping itself: no two
// requests, whoever sends them, can see each other half done.

import { LIMIT } from '../../protocol/generated/constants.js';
import type { Attachment } from '../../protocol/generated/types.js';
import { found, refuse, RefusalWhenDrained } from '../refusal.js';
import type { State } from '../state.js';
import type { Handlers } from './context.js';
import { MAPPING_COMMANDS } from './volumes.js';

function ofVolume(state: State, volumeKey: number): readonly Attachment[] {
  return state.attachments.filter((attachment) => attachment.volumeKey === volumeKey);
}

export const ATTACHMENT_COMMANDS: Handlers<'HOLD_MAPPING' | 'RELEASE_MAPPING'> = {
  HOLD_MAPPING(context, { volumeKey, sdcKey, holder, access }) {
    const { state, wallMs, waitFor } = context;
    if (holder === '') refuse('INVALID_PARAMETER', 'the holder of a mapping must have a name');
    const { poolKey } = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    found(state.sdcs.get(sdcKey), 'SDC_NOT_FOUND');
    const noted = ofVolume(state, volumeKey);
    const here = noted.filter((attachment) => attachment.sdcKey === sdcKey);
    const own = noted.find((attachment) => attachment.holder === holder);
    if (own !== undefined) {
      if (own.sdcKey !== sdcKey)
        refuse('INVALID_PARAMETER', `holder ${holder} relies on a mapping to another SDC`);
      // Mapping it changed the volume: devices may not have heard of that yet.
      waitFor({ kind: 'changed', poolKey });
      return { generation: own.generation, shared: here.length > 1 };
    }
    // Two rows may be added below.
    if (noted.length + 2 > LIMIT.attachmentsPerVolumeMax)
      refuse('TOO_MANY', `a volume has at most ${LIMIT.attachmentsPerVolumeMax} attachments`);
    const mapping = state.mappings.get(volumeKey, sdcKey);
    if (mapping !== undefined && mapping.access !== access)
      refuse('INVALID_PARAMETER', `the volume is mapped to this SDC ${mapping.access}`);
    const note = (name: string, generation: number): void => {
      const key = state.newKey();
      const attachment = { key, volumeKey, sdcKey, generation, holder: name, createdAtMs: wallMs };
      state.attachments.put(key, attachment);
    };
    if (mapping !== undefined && here.length === 0) note('', mapping.generation);
    const generation =
      mapping?.generation ??
      MAPPING_COMMANDS.MAP_VOLUME(context, { volumeKey, sdcKey, allowMultiple: true, access })
        .generation;
    note(holder, generation);
    if (mapping !== undefined) waitFor({ kind: 'changed', poolKey });
    return { generation, shared: mapping !== undefined };
  },

  RELEASE_MAPPING(context, { volumeKey, holder, generation }) {
    const { state } = context;
    const { poolKey } = found(state.volumes.get(volumeKey), 'VOLUME_NOT_FOUND');
    const noted = ofVolume(state, volumeKey);
    const own = noted.find((attachment) => holder !== '' && attachment.holder === holder);
    // As with unmapping: it is said only once it is true on every device.
    if (own === undefined || (generation !== 0 && own.generation !== generation))
      throw new RefusalWhenDrained('VOLUME_NOT_MAPPED', poolKey);
    const { sdcKey } = own;
    if (noted.some((other) => other.key !== own.key && other.sdcKey === sdcKey)) {
      state.attachments.delete(own.key);
      return { unmapped: false };
    }
    MAPPING_COMMANDS.UNMAP_VOLUME(context, { volumeKey, sdcKeys: [sdcKey], generation: 0 });
    return { unmapped: true };
  },
};
