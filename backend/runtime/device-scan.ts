// Looks for devices that carry our signature, whatever path they have today. It must never write, and never fail because
// of a path that cannot be read: that one is not found.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DeviceError, probeDevice } from './disk-probe.js';

export interface FoundOnDisk {
  readonly deviceKey: number;
  readonly incarnation: number;
  readonly path: string;
  readonly systemId: string;
}

const PATHS_MAX = 4096;

/** Files of the search folders, and all block devices. */
function candidates(search: readonly string[]): string[] {
  const files = search.flatMap((place) => {
    if (!existsSync(place)) return [];
    if (!statSync(place).isDirectory()) return [place];
    return readdirSync(place).map((name) => join(place, name));
  });
  const blocks = existsSync('/sys/class/block')
    ? readdirSync('/sys/class/block')
        .filter((name) => !/^(loop|ram|zram|nbd)\d/.test(name))
        .map((name) => `/dev/${name}`)
    : [];
  return [...files, ...blocks].slice(0, PATHS_MAX);
}

/** Devices of any MeshSAN system that can be seen. */
export function foundDevices(search: readonly string[]): FoundOnDisk[] {
  return candidates(search).flatMap((path) => {
    try {
      const { identity } = probeDevice(path);
      if (identity === null) return [];
      const { deviceKey, incarnation, systemId } = identity;
      return [{ deviceKey, incarnation, systemId, path }];
    } catch (error) {
      if (error instanceof DeviceError || isSystemError(error)) return [];
      throw error;
    }
  });
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string';
}

/**
 * Where a device is now: where it was last seen, or wherever its signature is found; null: nowhere. Of several copies of
 * it that which was opened last.
 */
export function findDevice(
  systemId: string,
  deviceKey: number,
  lastPath: string,
  search: readonly string[],
): string | null {
  const places = [lastPath, ...search];
  let latest: FoundOnDisk | null = null;
  for (const device of foundDevices(places)) {
    if (device.deviceKey !== deviceKey || device.systemId !== systemId) continue;
    if (latest === null || device.incarnation > latest.incarnation) latest = device;
  }
  return latest?.path ?? null;
}
