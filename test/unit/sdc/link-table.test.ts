// Links to data processes: when they are dialled.

import test from 'ava';

import { ClusterMap } from '../../../backend/cluster-map/cluster-map.js';
import type { Links } from '../../../backend/core/ports.js';
import { LinkTable } from '../../../backend/sdc/link-table.js';
import { Op } from '../../../backend/sdc/op.js';

const NONE = (): never => {
  throw new Error('no link may be touched');
};

const LINKS: Links = {
  ...{ identify: NONE, newLink: NONE, connect: NONE, close: NONE, resume: NONE },
  ...{ send: NONE, sendParts: NONE, room: NONE },
} as unknown as Links;

test('a device that the map does not name yet is not dialled, and no time is spent on it', (t) => {
  const table = new LinkTable(LINKS, 1, ClusterMap.EMPTY);
  table.started = true;
  const device = table.device(7);
  device.waiting.push(new Op(0));
  table.dial(1_000_000, device);
  // Without an end to wait for, the loop would come back at once for ever.
  t.is(table.nextDialUs, Infinity);
  table.dialAll(1_000_000);
  t.is(table.nextDialUs, Infinity);
});
