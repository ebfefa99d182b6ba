// What brings one volume to the kernel, and what an attachment is asked for: the words between an attachment and its ways.
// It must never hold behaviour.

import type { Log } from '../core/ports.js';
import type { FlushList } from '../runtime/unix-server.js';
import type { Loop } from '../runtime/loop.js';
import type { RequestOwner, VolumeClient } from '../sdc/attach/volume-client.js';
import type { Slots } from '../sdc/nbd/slots.js';

/** Ways into the kernel: its nbd driver on a socket, or a FUSE file under a loop device. */
export type AttachMethod = 'nbd' | 'fuse';

/** What is asked for. */
export interface AttachRequest {
  readonly volumeId: string;
  readonly systemId: string;
  /** NBD socket of the client process. */
  readonly socket: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly deviceDir: string;
  /** `auto`: nbd where the kernel has it, otherwise fuse. */
  readonly method: 'auto' | AttachMethod;
}

/** What a way needs of the process and of its attachment. */
export interface CarrierHost {
  readonly loop: Loop;
  readonly log: Log;
  readonly slots: Slots<RequestOwner>;
  /** Conversations with the kernel that have something to write. */
  readonly flushes: FlushList;
  readonly volume: VolumeClient;
  /** The kernel has let go of the device. */
  readonly released: () => void;
}

/** One way of one attachment. */
export interface Carrier {
  readonly method: AttachMethod;
  readonly sizeBytes: number;
  /**
   * Makes the block device; returns its path.
   * @throws Error with what the system refused; `end` and the removal of what is recorded take the rest away
   */
  attach(): Promise<string>;
  /** The volume has grown: the device grows with it. */
  resize(sizeBytes: number): Promise<void>;
  isUsed(): Promise<boolean>;
  /** The device ends when its last user closes it; `released` follows. */
  release(): Promise<void>;
  /** Requests that found no room are taken now, if there is some. */
  resume(): void;
  /** Nothing of the kernel is answered any more. */
  end(): void;
}
