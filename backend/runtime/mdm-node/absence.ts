// Why no master answers: what each MDM that was looked for says of itself, or why it says nothing. It must never change anything.

import type { MdmNodeReplyBody } from '../../protocol/generated/types.js';
import { NodeCaller, reasonOf } from './caller.js';
import type { NodePlace } from './caller.js';

/** What keeps a node that answers from being master, in words. */
function stateOf({ state, storeUp, storeFault }: MdmNodeReplyBody): string {
  switch (state) {
    case 'blank':
      return 'it has no system';
    case 'alone':
      return 'it is an MDM, but did not answer the question in time';
    case 'member':
      return storeUp
        ? 'it is a member of the MDM cluster, but not the master'
        : `it is a member of the MDM cluster, whose metadata store (etcd) has no majority of its members${storeFault === '' ? '' : ` (${storeFault})`}`;
  }
}

/**
 * Asks each of these MDMs what it is.
 *
 * @returns address and reason of each, separated by semicolons
 */
export async function absenceOf(places: readonly NodePlace[], secret: Uint8Array): Promise<string> {
  const caller = new NodeCaller(secret, { event: () => undefined });
  try {
    const reasons = await Promise.all(
      places.map(async (place) => {
        const name = `${place.host}:${place.port}`;
        try {
          return `${name}: ${stateOf(await caller.report(place))}`;
        } catch (error) {
          // Reasons of a connection name the address themselves.
          const reason = reasonOf(error);
          return reason.startsWith(name) ? reason : `${name}: ${reason}`;
        }
      }),
    );
    return reasons.join('; ');
  } finally {
    caller.close();
  }
}
