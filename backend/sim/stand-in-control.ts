// The control process of a simulated server: registers, formats and opens devices as the MDM wants, reports. It owns
// which data process should run; starting one is the server's business.

import { ALL_KEYS } from '../core/key-range.js';
import type { LinkId, Links, Log, Machine, Micros, Peer } from '../core/ports.js';
import { MDM_CLIENT_DEFAULTS, MdmClient } from '../mdm-client/mdm-client.js';
import type { MdmClientHost, Registration } from '../mdm-client/mdm-client.js';
import type { ControlMessage } from '../protocol/control.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import type { Address, DeviceWant, FoundDevice } from '../protocol/generated/types.js';

/** What the control machine asks of its server. */
export interface ControlHost {
  /** Devices that carry our signature. */
  found(): FoundDevice[];
  /** Formats the device at the path unless it is formatted for this key; capacity in bytes, or null: no such device. */
  format(systemId: string, want: DeviceWant): number | null;
  /** Starts the data process of a device unless it runs; capacity in bytes, or null: no such device. */
  open(sdsKey: number, want: DeviceWant): number | null;
  close(deviceKey: number): void;
}

export interface ControlIdentity {
  readonly guid: string;
  readonly address: Address;
  readonly port: number;
  readonly mdmAddress: string;
  readonly mdmPort: number;
  readonly seed: number;
}

export class StandInControl implements Machine, MdmClientHost {
  private readonly session: MdmClient;
  private readonly host: ControlHost;
  private readonly identity: ControlIdentity;
  private readonly links: Links;
  private progress = 0;

  constructor(links: Links, log: Log, host: ControlHost, identity: ControlIdentity) {
    this.links = links;
    this.host = host;
    this.identity = identity;
    this.session = new MdmClient(links, log, this, {
      ...MDM_CLIENT_DEFAULTS,
      addresses: [{ host: identity.mdmAddress, port: identity.mdmPort }],
      seed: identity.seed,
    });
  }

  start(nowUs: Micros): void {
    this.session.start(nowUs);
  }

  linkUp(nowUs: Micros, link: LinkId, peer: Peer): void {
    if (this.session.owns(link)) this.session.linkUp(nowUs, link, peer);
  }

  linkDown(nowUs: Micros, link: LinkId, reason: string): void {
    if (this.session.owns(link)) this.session.linkDown(nowUs, link, reason);
  }

  frame(nowUs: Micros, link: LinkId, bytes: Uint8Array, view: DataView, at: number): boolean {
    return this.session.frame(nowUs, link, bytes, view, at);
  }

  tick(nowUs: Micros): void {
    this.session.tick(nowUs);
  }

  nextDeadlineUs(): Micros {
    return this.session.nextDeadlineUs();
  }

  registration(): Registration {
    const { guid, address, port } = this.identity;
    return {
      code: MSG.REGISTER_SDS,
      body: { guid, addresses: [address], port, version: 'simulated', devices: this.host.found() },
    };
  }

  registered(_nowUs: Micros, reply: ControlMessage | null): void {
    if (reply?.code !== MSG.REGISTER_SDS_REPLY) return;
    const { sdsKey, systemId } = reply.body;
    if (sdsKey !== 0) this.links.identify({ key: sdsKey, incarnation: 1, run: 0, systemId });
  }

  refused(): void {
    // It is asked again.
  }

  heartbeat(): ReturnType<MdmClientHost['heartbeat']> {
    this.progress += 1;
    return {
      ...{ progress: this.progress, appliedSequence: 0, usage: null },
      ...{ listedAfter: ALL_KEYS.after, listedThrough: ALL_KEYS.through },
      ...{ counters: [], volumes: [] },
    };
  }

  mapChanged(): void {
    // Control processes get no map.
  }

  pushed(_nowUs: Micros, message: ControlMessage): void {
    if (message.code !== MSG.DEVICE_WANTS) return;
    const { sdsKey, systemId, wants } = message.body;
    this.links.identify({ key: sdsKey, incarnation: 1, run: 0, systemId });
    for (const want of wants) this.fulfil(sdsKey, systemId, want);
  }

  private fulfil(sdsKey: number, systemId: string, want: DeviceWant): void {
    const { deviceKey, task, path } = want;
    if (task === 'close') {
      this.host.close(deviceKey);
      this.session.tell(MSG.DEVICE_RESULT, {
        ...{ deviceKey, task, status: 0, reason: '', path, capacityBytes: 0 },
      });
      return;
    }
    const formatted = task === 'format' ? this.host.format(systemId, want) : 0;
    const capacityBytes = formatted === null ? null : this.host.open(sdsKey, want);
    this.session.tell(MSG.DEVICE_RESULT, {
      ...{ deviceKey, task, path },
      status: capacityBytes === null ? ERR.DEVICE_OPEN_FAILED : 0,
      reason: capacityBytes === null ? 'there is no such device' : '',
      capacityBytes: capacityBytes ?? 0,
    });
  }

  disconnected(): void {
    // Data processes run on.
  }
}
