// The block devices of this host: size, media, whose data they carry. It must never write, and never fail because of one
// device: what cannot be read is reported as such.

import { existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DeviceContent, NodeDevice } from '../../protocol/lia.js';
import { LIMITS } from '../../protocol/tables/limits.js';
import { DeviceError, probeDevice } from '../disk-probe.js';

const CLASS = '/sys/class/block';
/** Not disks of this host: made by software, or removable media. */
const SKIPPED = /^(loop|ram|zram|nbd|fd|sr)\d/;
const SYSFS_SECTOR_BYTES = 512;

const textOf = (path: string): string =>
  existsSync(path) ? readFileSync(path, 'utf8').trim() : '';

function contentOf(path: string): { content: DeviceContent; inUse: string | null } {
  try {
    const { identity, damaged, foreign, inUse } = probeDevice(path);
    if (identity !== null) {
      const { systemId, deviceKey } = identity;
      return { content: { kind: 'ours', systemId, deviceKey }, inUse };
    }
    if (damaged !== null) return { content: { kind: 'damaged', what: damaged }, inUse };
    return {
      content: foreign === null ? { kind: 'empty' } : { kind: 'foreign', what: foreign },
      inUse,
    };
  } catch (error) {
    const isKnown = error instanceof DeviceError || isSystemError(error);
    if (!isKnown) throw error;
    return { content: { kind: 'unreadable', what: (error as Error).message }, inUse: null };
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';
}

function deviceOf(name: string): NodeDevice {
  const folder = realpathSync(join(CLASS, name));
  const isPartition = existsSync(join(folder, 'partition'));
  const disk = isPartition ? dirname(folder) : folder;
  const path = `/dev/${name.replaceAll('!', '/')}`;
  return {
    path,
    kind: isPartition ? 'partition' : 'disk',
    sizeBytes: (Number(textOf(join(folder, 'size'))) || 0) * SYSFS_SECTOR_BYTES,
    media: textOf(join(disk, 'queue', 'rotational')) === '1' ? 'HDD' : 'SSD',
    model: textOf(join(disk, 'device', 'model')),
    ...contentOf(path),
  };
}

/** All disks and partitions, by name. */
export function nodeDevices(): NodeDevice[] {
  const names = existsSync(CLASS) ? readdirSync(CLASS) : [];
  return names
    .filter((name) => !SKIPPED.test(name))
    .sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
    .slice(0, LIMITS.liaDevicesMax.value)
    .map(deviceOf);
}
