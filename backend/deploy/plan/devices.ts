// Which devices of a node may be taken into the cluster. It owns the one rule that nobody may break: what carries anything
// is erased only when the settings of this very node name it for that; what is in use, never.

import { devicesOf, takeoverOf } from '../environment/model.js';
import type { Context, DeviceSeen, NewDevice, SdsView } from './model.js';

const DEVICE_BYTES_MIN = 2 ** 30;
const GIB = 2 ** 30;

export interface DevicePlan {
  readonly add: readonly NewDevice[];
  readonly refusals: readonly string[];
  readonly notes: readonly string[];
}

function content(path: string, seen: DeviceSeen, ownSystem: string | null): string | null {
  if (seen.systemId !== null)
    return seen.systemId === ownSystem
      ? `${path} is device ${seen.deviceKey} of this MeshSAN system, which no longer knows it`
      : `${path} is device ${seen.deviceKey} of another MeshSAN system (${seen.systemId})`;
  if (seen.damaged !== null) return `${path} carries a damaged MeshSAN device: ${seen.damaged}`;
  return seen.foreign === null ? null : `${path} carries ${seen.foreign}`;
}

/**
 * What is to be done with the devices that the settings name for a node.
 *
 * @param sds - this node's SDS as the cluster knows it, or null
 */
export function planDevices(context: Context, sds: SdsView | null): DevicePlan {
  const { environment, self, seen } = context;
  const wishes = devicesOf(environment, self);
  const takeover = takeoverOf(environment, self);
  const ownSystem = seen.cluster?.systemId ?? null;
  const add: NewDevice[] = [];
  const refusals: string[] = [];
  for (const { path, pool } of wishes) {
    const known = sds?.devices.find((device) => device.path === path);
    const device = seen.devices.get(path);
    if (device === undefined) continue;
    const served =
      known !== undefined ||
      (device.systemId !== null &&
        device.systemId === ownSystem &&
        sds?.devices.some(({ key }) => key === device.deviceKey) === true);
    if (served) continue;
    const found = content(path, device, ownSystem);
    if (device.fault !== null) refusals.push(device.fault);
    else if (device.inUse !== null) refusals.push(`${path} is in use: ${device.inUse}`);
    else if (device.sizeBytes < DEVICE_BYTES_MIN)
      refusals.push(
        `${path} has ${(device.sizeBytes / GIB).toFixed(2)} GiB; at least ${DEVICE_BYTES_MIN / GIB} GiB are needed`,
      );
    else if (found !== null && !takeover.includes(path))
      refusals.push(
        `${found}; nothing is erased unasked: to erase it, name it for node ${self.name} in takeover_devices`,
      );
    else add.push({ pool, path, force: takeover.includes(path) });
  }
  const notes = (sds?.devices ?? [])
    .filter(({ path }) => !wishes.some((wish) => wish.path === path))
    .map(
      ({ path }) =>
        `${path} is served by ${self.name} but not named in the settings; it stays (scli --remove_sds_device takes it out)`,
    );
  return { add, refusals, notes };
}
