// What simulated MDMs are configured with.

import { MDM_DEFAULTS } from '../mdm/options.js';
import type { MdmOptions } from '../mdm/options.js';

export const MANAGER_TIMES = { beatMs: 250, silenceMs: 1000, giveUpMs: 1600 } as const;

/** A system that never existed: the same in every scenario. */
const INITIAL: NonNullable<MdmOptions['initial']> = {
  systemName: 'simulated',
  idPrefix: 0x51a10001,
  installId: '00112233445566ff',
  admin: { name: 'admin', salt: new Uint8Array(32), hash: new Uint8Array(64) },
};

/** @param begins - the system begins at this MDM */
export function simulatedOptions(
  address: string,
  begins: boolean,
  own: Partial<MdmOptions>,
): MdmOptions {
  return {
    ...MDM_DEFAULTS,
    addresses: [{ host: address, role: 'all' }],
    sectorBytes: 8,
    initial: begins ? INITIAL : null,
    ...own,
  };
}
