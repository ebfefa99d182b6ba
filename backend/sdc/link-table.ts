// All links to data processes, by device and by link. It owns when they are dialled; it must never touch an operation.

import type { ClusterMap } from '../cluster-map/cluster-map.js';
import type { LinkId, Links, Micros } from '../core/ports.js';

import type { DeviceLink } from './device-link.js';
import { DeviceLinks } from './device-link.js';

export class LinkTable {
  private readonly links: Links;
  private readonly perDevice: number;
  private readonly devices = new Map<number, DeviceLinks>();
  private readonly byId = new Map<LinkId, DeviceLink>();
  /** Addresses come from here; replaced at each change of the map. */
  map: ClusterMap;
  /** May dial: the run is known. */
  started = false;
  /** Conservative: no link is to be dialled before. */
  nextDialUs: Micros = Infinity;

  constructor(links: Links, perDevice: number, map: ClusterMap) {
    this.links = links;
    this.perDevice = perDevice;
    this.map = map;
  }

  device(key: number): DeviceLinks {
    let device = this.devices.get(key);
    if (device === undefined) {
      device = new DeviceLinks(key, this.perDevice);
      this.devices.set(key, device);
    }
    return device;
  }

  all(): Iterable<DeviceLinks> {
    return this.devices.values();
  }

  find(id: LinkId): DeviceLink | undefined {
    return this.byId.get(id);
  }

  forget(id: LinkId): void {
    this.byId.delete(id);
  }

  /** Dials the links of a device for which operations wait. */
  dial(nowUs: Micros, device: DeviceLinks): void {
    if (!this.started || !device.isWanted) return;
    const known = this.map.devices.get(device.key);
    // A refusal may name a device that the MDM has not told of yet: there is nothing to dial before it does.
    if (known === undefined || known.port === 0) return;
    device.dial(nowUs, this.links, known, (link) => {
      this.byId.set(link.id, link);
    });
    this.nextDialUs = Math.min(this.nextDialUs, device.nextDialUs());
  }

  dialAll(nowUs: Micros): void {
    this.nextDialUs = Infinity;
    for (const device of this.devices.values()) this.dial(nowUs, device);
  }

  /** Links that are up, in a stable order. */
  *up(): Iterable<DeviceLink> {
    for (const device of this.devices.values())
      for (const link of device.links) if (link.state === 'up') yield link;
  }
}
