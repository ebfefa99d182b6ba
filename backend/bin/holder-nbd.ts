// A volume as a device of the kernel's nbd driver, which sends its requests through a unix socket of this process. The
// device outlives the process: the kernel keeps what was not answered, and the next holder takes the device over. It must
// never touch a device that does not carry the name of its attachment.

import {
  connectNbd,
  isNbdUsed,
  nbdOf,
  nbdPath,
  reconnectNbd,
  releaseNbd,
  resizeNbd,
} from '../runtime/kernel-nbd.js';
import { UnixServer } from '../runtime/unix-server.js';
import type { ByteSession } from '../runtime/unix-server.js';
import { NbdDeviceSession, deviceFlags } from '../sdc/attach/nbd-device-session.js';
import type { AttachRequest, Carrier, CarrierHost } from './holder-carrier.js';

const RETRY_MS = 1000;

export class NbdCarrier implements Carrier {
  readonly method = 'nbd';
  readonly #request: AttachRequest;
  readonly #socket: string;
  readonly #name: string;
  readonly #host: CarrierHost;
  /** What is served; the device is smaller when it could not be made to grow. */
  readonly #shape: { sizeBytes: number; readonly readOnly: boolean };
  #sizeBytes: number;
  #server: UnixServer | null = null;
  /** The conversation that serves the device. */
  #session: NbdDeviceSession | null = null;
  #index = -1;
  #retry: NodeJS.Timeout | null = null;
  #ended = false;

  /**
   * @param socket - path of a socket that does not exist
   * @param name - of the device, unique on this host
   */
  constructor(request: AttachRequest, socket: string, name: string, host: CarrierHost) {
    this.#request = request;
    this.#socket = socket;
    this.#name = name;
    this.#host = host;
    this.#shape = { sizeBytes: request.sizeBytes, readOnly: request.readOnly };
    this.#sizeBytes = request.sizeBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async attach(): Promise<string> {
    this.#listen();
    this.#index = await connectNbd(this.#serving(), deviceFlags(this.#request.readOnly));
    return nbdPath(this.#index);
  }

  /** Serves the device that an earlier process made; null: it is gone. */
  async adopt(): Promise<string | null> {
    const index = nbdOf(this.#name);
    if (index === null) return null;
    this.#listen();
    this.#index = index;
    await reconnectNbd(index, this.#serving()).catch((error: unknown) => {
      this.#reconnectSoon((error as Error).message);
    });
    return nbdPath(index);
  }

  async resize(sizeBytes: number): Promise<void> {
    this.#shape.sizeBytes = sizeBytes;
    await resizeNbd(this.#index, this.#name, sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  async isUsed(): Promise<boolean> {
    return isNbdUsed(this.#index);
  }

  async release(): Promise<void> {
    await releaseNbd(this.#index, this.#name);
  }

  resume(): void {
    this.#server?.resumeAll();
  }

  end(): void {
    this.#ended = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#server?.close();
    this.#server = null;
  }

  #serving() {
    return { name: this.#name, socket: this.#socket, sizeBytes: this.#sizeBytes };
  }

  #listen(): void {
    const { loop, log, slots, volume, flushes } = this.#host;
    const source = {
      open: () => {
        const session = new NbdDeviceSession(this.#shape, volume, slots);
        this.#session = session;
        return session;
      },
      close: (session: ByteSession) => {
        this.#closed(session);
      },
    };
    const failed = (error: Error): void => {
      log.event('error', 'holder.nbd-socket-failed', { reason: error.message });
    };
    this.#server = new UnixServer(this.#socket, source, loop, failed, flushes);
  }

  #closed(session: ByteSession): void {
    if (!(session instanceof NbdDeviceSession)) return;
    session.abandon();
    if (session !== this.#session || this.#ended) return;
    this.#session = null;
    if (session.isReleased) this.#host.released();
    else if (this.#index >= 0) this.#reconnectSoon('the kernel closed its connection');
  }

  /** The kernel keeps its requests meanwhile. */
  #reconnectSoon(reason: string): void {
    const { volumeId } = this.#request;
    this.#host.log.event('warn', 'holder.kernel-lost', { volumeId, reason });
    this.#retry = setTimeout(() => {
      this.#reconnect().catch((error: unknown) => {
        if (!this.#ended) this.#reconnectSoon((error as Error).message);
      });
    }, RETRY_MS);
  }

  async #reconnect(): Promise<void> {
    const index = nbdOf(this.#name);
    if (index === null) this.#host.released();
    else await reconnectNbd(index, this.#serving());
  }
}
