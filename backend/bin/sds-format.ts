// Formats a device in a data process, before it is opened. It must never be called for a device that may carry data of
// others: the caller asked.

import { randomBytes } from 'node:crypto';
import { ERR } from '../protocol/generated/constants.js';
import { LIMITS } from '../protocol/tables/limits.js';
import type { FileDisk } from '../runtime/disk-file.js';
import type { Loop } from '../runtime/loop.js';
import { PRODUCT_GEOMETRY } from '../sds/store/defaults.js';
import { Formatter, formatFault } from '../sds/store/format.js';
import type { FormatOptions } from '../sds/store/format.js';

export type Formatted =
  { readonly capacityBytes: number } | { readonly status: number; readonly fault: string };

/** Writes an empty device. The disk is closed afterwards. */
export function formatDevice(
  disk: FileDisk,
  target: { readonly systemId: string; readonly deviceKey: number; readonly poolKey: number },
  loop: Loop,
): Promise<Formatted> {
  const random = randomBytes(8);
  const options: FormatOptions = {
    geometry: PRODUCT_GEOMETRY,
    systemId: target.systemId,
    deviceKey: target.deviceKey,
    poolKey: target.poolKey,
    formatLow: random.readUInt32LE(0),
    formatHigh: random.readUInt32LE(4),
    sizeBytesMin: LIMITS.deviceBytesMin.value,
    allocate: (lengthBytes) => disk.allocate(lengthBytes),
  };
  const fault = formatFault(disk.sizeBytes, options);
  if (fault !== null) {
    disk.close();
    return Promise.resolve({ status: ERR.DEVICE_TOO_SMALL, fault });
  }
  return new Promise((done) => {
    const formatter = new Formatter(disk, options, {
      formatDone: (_nowUs, reason, capacityBytes) => {
        disk.close();
        done(
          reason === null
            ? { capacityBytes }
            : { status: ERR.DEVICE_IO_FAILED, fault: disk.failure ?? reason },
        );
      },
    });
    disk.attach(formatter);
    loop.addSource(disk);
    loop.begin();
    formatter.begin();
    loop.end();
  });
}
