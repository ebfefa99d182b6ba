// One volume as a block device of this host: connection to the client process, way into the kernel, links. It owns their
// order, in and out; it must never leave a step behind when a later one fails.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import { idNames, putLink, removeLink, takeName } from '../runtime/block-device-names.js';
import type { DeviceLink } from '../runtime/block-device-names.js';
import { canUseNbd } from '../runtime/kernel-nbd.js';
import type { Loop } from '../runtime/loop.js';
import { UnixLink } from '../runtime/unix-link.js';
import type { FlushList } from '../runtime/unix-server.js';
import { VolumeClient } from '../sdc/attach/volume-client.js';
import type { RequestOwner } from '../sdc/attach/volume-client.js';
import type { Slots } from '../sdc/nbd/slots.js';
import type { AttachMethod, AttachRequest, Carrier } from './holder-carrier.js';
import { FuseCarrier } from './holder-fuse.js';
import { NbdCarrier } from './holder-nbd.js';
import { takeAway } from './holder-state.js';
import type { AttachmentRecord, HolderState } from './holder-state.js';

/** A device as it is shown. */
export interface DeviceFacts {
  readonly volumeId: string;
  /** Absent: of a holder of a release that served one system. */
  readonly systemId?: string;
  /** `releasing`: detached, but somebody has it open still. */
  readonly state: 'attached' | 'releasing';
  /** How the kernel has it. */
  readonly method: AttachMethod;
  readonly sizeBytes: number;
  /** As in /dev/scinia. */
  readonly device: string;
  readonly blockDevice: string;
  readonly links: readonly string[];
  /** The client process serves it now; otherwise I/O waits. */
  readonly connected: boolean;
  /** Requests that were sent again after a connection was lost. */
  readonly repeated: number;
}

export interface HolderTools {
  readonly loop: Loop;
  readonly log: Log;
  readonly state: HolderState;
  readonly slots: Slots<RequestOwner>;
  readonly flushes: FlushList;
  /** Nothing is left of an attachment. */
  readonly gone: (attachment: Attachment) => void;
}

/** How long a detach waits for the kernel to let go of a device that nobody uses. */
const RELEASE_MS = 1000;

let attachmentCount = 0;

export class Attachment {
  readonly request: AttachRequest;
  readonly #tools: HolderTools;
  readonly #volume = new VolumeClient();
  readonly #link: UnixLink;
  #carrier: Carrier;
  #record: AttachmentRecord;
  #blockDevice = '';
  #releasing = false;
  #finishing = false;
  #onGone: () => void = () => undefined;

  /** @param record - of a device that an earlier process made with nbd; null: a new one */
  constructor(request: AttachRequest, tools: HolderTools, record: AttachmentRecord | null) {
    this.request = request;
    this.#tools = tools;
    this.#record = record ?? this.#newRecord(methodsFor(request)[0]);
    this.#carrier = this.#newCarrier();
    this.#link = new UnixLink(request.socket, tools.loop, {
      connected: () => this.#volume.connected(),
      disconnected: (reason) => {
        this.#volume.disconnected();
        const { volumeId } = request;
        const open = this.#volume.openCount;
        tools.log.event('warn', 'holder.server-lost', { volumeId, reason, open });
      },
    });
  }

  get isReleasing(): boolean {
    return this.#releasing;
  }

  describe(): DeviceFacts {
    const [name, ...ids] = this.#record.links.map((link) => link.path);
    return {
      volumeId: this.request.volumeId,
      systemId: this.request.systemId,
      state: this.#releasing ? 'releasing' : 'attached',
      method: this.#carrier.method,
      sizeBytes: this.#carrier.sizeBytes,
      device: name ?? '',
      blockDevice: this.#blockDevice,
      links: ids,
      connected: this.#volume.isConnected,
      repeated: this.#volume.repeated,
    };
  }

  #newRecord(method: AttachMethod): AttachmentRecord {
    const { request } = this;
    const { dir } = this.#tools.state;
    const { volumeId } = request;
    const base = { volumeId, mountPoint: freshPath(dir, method, volumeId), links: [] };
    if (method === 'fuse') return base;
    const name = `meshsan-${volumeId}-${randomBytes(4).toString('hex')}`;
    return { ...base, nbd: { name, request, isReleasing: false } };
  }

  #newCarrier(): Carrier {
    const { request } = this;
    const { loop, log, slots, flushes } = this.#tools;
    const { mountPoint, nbd } = this.#record;
    const volume = this.#volume;
    const released = (): void => void this.#finish();
    const host = { loop, log, slots, flushes, volume, released };
    if (nbd === undefined) return new FuseCarrier(request, mountPoint, host);
    return new NbdCarrier(request, mountPoint, nbd.name, host);
  }

  /**
   * Makes the device and its links.
   * @throws Error with what the system refused; nothing is left behind then
   */
  async attach(): Promise<void> {
    const [, otherwise] = methodsFor(this.request);
    try {
      try {
        await this.#make();
      } catch (error) {
        if (otherwise === undefined || this.#volume.isRevoked) throw error;
        await this.#fallBack(otherwise, error as Error);
      }
      this.#makeLinks();
    } catch (error) {
      this.#volume.revoke();
      await this.#finish();
      throw error;
    }
  }

  async #make(): Promise<void> {
    this.#note();
    this.#blockDevice = await this.#carrier.attach();
  }

  /** The first way failed: takes it back and tries the other one. */
  async #fallBack(method: AttachMethod, error: Error): Promise<void> {
    const { log, state } = this.#tools;
    const { volumeId } = this.request;
    log.event('info', 'holder.other-method', { volumeId, method, reason: error.message });
    this.#carrier.end();
    await takeAway(this.#record);
    state.remove(this.#record.mountPoint);
    this.#record = this.#newRecord(method);
    this.#carrier = this.#newCarrier();
    await this.#make();
  }

  /**
   * Goes on with a device that an earlier process made with nbd.
   * @returns false when there is none any more, and nothing else is left of it
   */
  async adopt(): Promise<boolean> {
    const carrier = this.#carrier;
    const { nbd } = this.#record;
    const path = carrier instanceof NbdCarrier ? await carrier.adopt() : null;
    if (path === null) {
      await this.#finish();
      return false;
    }
    this.#blockDevice = path;
    if (nbd?.isReleasing === true) {
      this.#releasing = true;
      // Its last user may have closed it before the former process could say what happens then.
      await carrier.release();
    } else this.#makeLinks();
    return true;
  }

  /** A connection may be possible now. */
  hurry(): void {
    this.#link.hurry();
  }

  /** The volume has grown. */
  async resize(sizeBytes: number): Promise<void> {
    if (sizeBytes <= this.#carrier.sizeBytes || this.#releasing) return;
    await this.#carrier.resize(sizeBytes);
    const { nbd } = this.#record;
    if (nbd !== undefined) {
      this.#record = { ...this.#record, nbd: { ...nbd, request: { ...nbd.request, sizeBytes } } };
      this.#note();
    }
    this.#tools.log.event('info', 'holder.resized', {
      volumeId: this.request.volumeId,
      sizeBytes,
    });
  }

  async isUsed(): Promise<boolean> {
    return this.#carrier.isUsed();
  }

  /** Every I/O fails from now on. */
  revoke(): void {
    const { loop } = this.#tools;
    this.#link.close();
    loop.begin();
    this.#volume.revoke();
    loop.end();
  }

  /** Takes the device away: its names at once, itself when its last user closes it. Waits a moment for that. */
  async detach(): Promise<void> {
    if (this.#releasing) return;
    this.#releasing = true;
    for (const link of this.#record.links) removeLink(link);
    const { nbd } = this.#record;
    const kept = nbd === undefined ? {} : { nbd: { ...nbd, isReleasing: true } };
    this.#record = { ...this.#record, links: [], ...kept };
    this.#note();
    let timer: NodeJS.Timeout | undefined;
    const gone = new Promise<void>((done) => {
      this.#onGone = done;
      timer = setTimeout(done, RELEASE_MS);
    });
    await this.#carrier.release();
    await gone;
    clearTimeout(timer);
  }

  /** End of a batch: requests that found no room, then what goes to the server. */
  flush(): void {
    this.#carrier.resume();
    this.#link.flush();
  }

  #note(): void {
    this.#tools.state.put(this.#record);
  }

  #noteLinks(links: readonly DeviceLink[]): void {
    this.#record = { ...this.#record, links };
    this.#note();
  }

  #makeLinks(): void {
    const { volumeId, systemId, deviceDir } = this.request;
    const { state } = this.#tools;
    const target = this.#blockDevice;
    for (const link of this.#record.links) removeLink(link);
    const name = takeName(
      deviceDir,
      target,
      state.nameOf(volumeId),
      state.namesOfOthers(volumeId),
      (link) => {
        this.#noteLinks([link]);
      },
    );
    state.setName(volumeId, name);
    for (const id of idNames(systemId, volumeId)) {
      const link = { path: join(deviceDir, 'disk', 'by-id', id), target };
      this.#noteLinks([...this.#record.links, link]);
      putLink(link);
    }
  }

  /** The kernel keeps nothing open any more, or the device never came about: takes the rest away. */
  async #finish(): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    const { state, log, gone } = this.#tools;
    const { volumeId } = this.request;
    try {
      await takeAway(this.#record);
      state.remove(this.#record.mountPoint);
    } catch (error) {
      // It stays recorded: the next holder takes it away.
      log.event('error', 'holder.leftover-stays', { volumeId, reason: (error as Error).message });
    }
    this.#carrier.end();
    this.#link.close();
    log.event('info', 'holder.detached', { volumeId });
    gone(this);
    this.#onGone();
  }
}

/** The way to be tried first, and another one if it fails. */
function methodsFor({ method }: AttachRequest): readonly [AttachMethod, AttachMethod?] {
  if (method !== 'auto') return [method];
  return canUseNbd() ? ['nbd', 'fuse'] : ['fuse'];
}

/** A path that no earlier attachment uses; short for a socket, whose path may not be long. */
function freshPath(dir: string, method: AttachMethod, volumeId: string): string {
  for (;;) {
    const count = ++attachmentCount;
    const path = join(
      dir,
      method === 'nbd' ? `nbd-${count}` : `${volumeId}-${process.pid}-${count}`,
    );
    if (!existsSync(path)) return path;
  }
}
