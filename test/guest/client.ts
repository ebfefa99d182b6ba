// Stands for the client process in its unit, where there is no cluster: one volume in a file, served and attached by the
// product's own code. What it starts and how is what the unit's settings are judged by.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Attachments } from '../../backend/bin/sdc-attachments.js';
import { openLog } from '../../backend/runtime/log-sink.js';
import { SYSTEM, VOLUME } from '../attach/bench.js';
import { serveFile } from '../attach/file-server.js';

const STATE = '/var/lib/meshsan/sdc';
const SOCKETS = '/run/meshsan-sdc/nbd';
const SIZE_BYTES = 64 * 1048576;

const socket = join(SOCKETS, `${VOLUME}.sock`);
mkdirSync(SOCKETS, { recursive: true, mode: 0o700 });
serveFile(socket, join(STATE, 'volume'), SIZE_BYTES, false);
const volume = { id: VOLUME, sizeBytes: SIZE_BYTES, readOnly: false, socket };
new Attachments({
  stateDir: STATE,
  deviceDir: '/dev',
  mode: 'all',
  method: 'auto',
  log: openLog({ component: 'client' }),
  systemId: () => SYSTEM,
  mapped: () => [volume],
  isCurrent: () => true,
  isOther: () => false,
  settled: () => undefined,
}).changed();
