// One volume as a block device of this host: NBD connection, FUSE file, loop device, links. It owns their order, in and
// out; it must never leave a step behind when a later one fails.

import { existsSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import { attachLoop, detachLoop, isUsed, refreshLoop } from '../runtime/block-device.js';
import { idNames, putLink, removeLink, takeName } from '../runtime/block-device-names.js';
import type { DeviceLink } from '../runtime/block-device-names.js';
import { FuseMount } from '../runtime/fuse-mount.js';
import type { Loop } from '../runtime/loop.js';
import { UnixLink } from '../runtime/unix-link.js';
import { FUSE_REQUEST_BYTES_MAX, FuseSession } from '../sdc/attach/fuse-session.js';
import { VolumeClient } from '../sdc/attach/volume-client.js';
import type { RequestOwner } from '../sdc/attach/volume-client.js';
import type { Slots } from '../sdc/nbd/slots.js';
import { takeAway } from './holder-state.js';
import type { HolderState } from './holder-state.js';

/** What is asked for. */
export interface AttachRequest {
  readonly volumeId: string;
  readonly systemId: string;
  /** NBD socket of the client process. */
  readonly socket: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly deviceDir: string;
}

/** A device as it is shown. */
export interface DeviceFacts {
  readonly volumeId: string;
  /** `releasing`: detached, but somebody has it open still. */
  readonly state: 'attached' | 'releasing';
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
  readonly #session: FuseSession;
  readonly #mountPoint: string;
  readonly #link: UnixLink;
  #mount: FuseMount | null = null;
  #blockDevice = '';
  #links: DeviceLink[] = [];
  #releasing = false;
  #finishing = false;
  #onGone: () => void = () => undefined;

  constructor(request: AttachRequest, tools: HolderTools) {
    this.request = request;
    this.#tools = tools;
    this.#mountPoint = freshPath(tools.state.dir, request.volumeId);
    this.#session = new FuseSession(
      request.sizeBytes,
      request.readOnly,
      this.#volume,
      tools.slots,
      {
        reply: (bytes, at, lengthBytes) => this.#mount?.reply(bytes, at, lengthBytes),
        released: () => {
          if (this.#releasing) void this.#finish();
        },
      },
    );
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
    const [name, ...ids] = this.#links.map((link) => link.path);
    return {
      volumeId: this.request.volumeId,
      state: this.#releasing ? 'releasing' : 'attached',
      sizeBytes: this.#session.sizeBytes,
      device: name ?? '',
      blockDevice: this.#blockDevice,
      links: ids,
      connected: this.#volume.isConnected,
      repeated: this.#volume.repeated,
    };
  }

  /**
   * Makes the device and its links.
   * @throws Error with what the system refused; nothing is left behind then
   */
  async attach(): Promise<void> {
    const { volumeId, readOnly } = this.request;
    this.#note();
    writeFileSync(this.#mountPoint, '', { mode: 0o600 });
    try {
      this.#mount = await FuseMount.mount(
        this.#mountPoint,
        `meshsan-${volumeId}`,
        readOnly,
        FUSE_REQUEST_BYTES_MAX,
        this.#tools.loop,
        (mount) => {
          this.#mount = mount;
          return this.#session;
        },
      );
      this.#blockDevice = await attachLoop(this.#mountPoint, readOnly);
      this.#makeLinks();
    } catch (error) {
      this.#volume.revoke();
      await this.#finish();
      throw error;
    }
  }

  /** A connection may be possible now. */
  hurry(): void {
    this.#link.hurry();
  }

  /** The volume has grown. */
  async resize(sizeBytes: number): Promise<void> {
    if (sizeBytes <= this.#session.sizeBytes || this.#releasing) return;
    this.#session.sizeBytes = sizeBytes;
    // The kernel learns the size of the file when it is asked about it, then that of the loop device.
    await stat(this.#mountPoint);
    await refreshLoop(this.#blockDevice);
    this.#tools.log.event('info', 'holder.resized', {
      volumeId: this.request.volumeId,
      sizeBytes,
    });
  }

  async isUsed(): Promise<boolean> {
    return isUsed(this.#blockDevice);
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
    for (const link of this.#links) removeLink(link);
    this.#links = [];
    this.#note();
    let timer: NodeJS.Timeout | undefined;
    const gone = new Promise<void>((done) => {
      this.#onGone = done;
      timer = setTimeout(done, RELEASE_MS);
    });
    await detachLoop(this.#blockDevice);
    await gone;
    clearTimeout(timer);
  }

  /** End of a batch: requests that found no room, then what goes to the server. */
  flush(): void {
    this.#mount?.resume();
    this.#link.flush();
  }

  #note(): void {
    const { volumeId } = this.request;
    const mountPoint = this.#mountPoint;
    this.#tools.state.put({ volumeId, mountPoint, links: this.#links });
  }

  #makeLinks(): void {
    const { volumeId, systemId, deviceDir } = this.request;
    const { state } = this.#tools;
    const target = this.#blockDevice;
    const name = takeName(
      deviceDir,
      target,
      state.nameOf(volumeId),
      state.namesOfOthers(volumeId),
      (link) => {
        this.#links = [link];
        this.#note();
      },
    );
    state.setName(volumeId, name);
    for (const id of idNames(systemId, volumeId)) {
      const link = { path: join(deviceDir, 'disk', 'by-id', id), target };
      this.#links = [...this.#links, link];
      this.#note();
      putLink(link);
    }
  }

  /** The kernel keeps nothing open any more, or the device never came about: takes the rest away. */
  async #finish(): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    const { state, log, gone } = this.#tools;
    const { volumeId } = this.request;
    const mountPoint = this.#mountPoint;
    try {
      await takeAway({ volumeId, mountPoint, links: this.#links });
      state.remove(mountPoint);
    } catch (error) {
      // It stays recorded: the next holder takes it away.
      log.event('error', 'holder.leftover-stays', { volumeId, reason: (error as Error).message });
    }
    this.#mount?.end();
    this.#link.close();
    log.event('info', 'holder.detached', { volumeId });
    gone(this);
    this.#onGone();
  }
}

/** A path that no earlier attachment of the volume uses. */
function freshPath(dir: string, volumeId: string): string {
  for (;;) {
    const path = join(dir, `${volumeId}-${process.pid}-${++attachmentCount}`);
    if (!existsSync(path)) return path;
  }
}
