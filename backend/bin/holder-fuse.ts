// A volume as a FUSE file under a loop device: for kernels without nbd. It owns the order of the two; taking them away is
// told to it or done from the record of the attachment.

import { stat } from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import { attachLoop, detachLoop, isUsed, refreshLoop } from '../runtime/block-device.js';
import { FuseMount } from '../runtime/fuse-mount.js';
import { FUSE_REQUEST_BYTES_MAX, FuseSession } from '../sdc/attach/fuse-session.js';
import type { AttachRequest, Carrier, CarrierHost } from './holder-carrier.js';

export class FuseCarrier implements Carrier {
  readonly method = 'fuse';
  readonly #request: AttachRequest;
  readonly #mountPoint: string;
  readonly #host: CarrierHost;
  readonly #session: FuseSession;
  #mount: FuseMount | null = null;
  #blockDevice = '';
  #isReleasing = false;
  /** Of the loop device; the file behind it may be larger when the device could not be made to grow. */
  #sizeBytes: number;

  /** @param mountPoint - path of a file that does not exist */
  constructor(request: AttachRequest, mountPoint: string, host: CarrierHost) {
    this.#request = request;
    this.#mountPoint = mountPoint;
    this.#host = host;
    const { sizeBytes, readOnly } = request;
    this.#sizeBytes = sizeBytes;
    this.#session = new FuseSession(sizeBytes, readOnly, host.volume, host.slots, {
      reply: (bytes, at, lengthBytes) => this.#mount?.reply(bytes, at, lengthBytes),
      released: () => {
        if (this.#isReleasing) host.released();
      },
    });
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async attach(): Promise<string> {
    const { volumeId, readOnly } = this.#request;
    writeFileSync(this.#mountPoint, '', { mode: 0o600 });
    this.#mount = await FuseMount.mount(
      this.#mountPoint,
      `meshsan-${volumeId}`,
      readOnly,
      FUSE_REQUEST_BYTES_MAX,
      this.#host.loop,
      (mount) => {
        this.#mount = mount;
        return this.#session;
      },
    );
    // The kernel learns the size of the file when it is asked about it; older ones make a loop device of what they know.
    await stat(this.#mountPoint);
    this.#blockDevice = await attachLoop(this.#mountPoint, readOnly);
    return this.#blockDevice;
  }

  async resize(sizeBytes: number): Promise<void> {
    this.#session.sizeBytes = sizeBytes;
    // As above, then the loop device.
    await stat(this.#mountPoint);
    await refreshLoop(this.#blockDevice);
    this.#sizeBytes = sizeBytes;
  }

  async isUsed(): Promise<boolean> {
    return isUsed(this.#blockDevice);
  }

  async release(): Promise<void> {
    this.#isReleasing = true;
    await detachLoop(this.#blockDevice);
  }

  resume(): void {
    this.#mount?.resume();
  }

  end(): void {
    this.#mount?.end();
  }
}
