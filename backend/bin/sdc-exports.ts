// The NBD sockets of one system: one per mapped volume, named by the volume's id. It owns the folder of the
// sockets; it must never look into a conversation.

import { mkdirSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import { FlushList, UnixServer } from '../runtime/unix-server.js';
import type { Loop } from '../runtime/loop.js';
import type { BlockVolume } from '../sdc/block-front.js';
import { NbdFront } from '../sdc/nbd/front.js';
import type { NbdShell } from '../sdc/nbd/front.js';
import type { NbdSession } from '../sdc/nbd/session.js';

const OWN_SOCKET = /^[0-9a-f]{16}\.sock$/;

export interface ExportOptions {
  readonly nbdDir: string;
  readonly loop: Loop;
  readonly log: Log;
  /** 16 hex digits of a volume. */
  readonly idOf: (volumeKey: number) => string;
  /** A volume came, changed, or (null) went. */
  readonly changed: (volumeKey: number, volume: BlockVolume | null) => void;
  /** Whether what `changed` told of last is done. */
  readonly isReady: () => boolean;
}

export class NbdExports implements NbdShell {
  readonly front = new NbdFront(this);
  readonly #options: ExportOptions;
  readonly #servers = new Map<number, UnixServer>();
  readonly #flushes = new FlushList();
  readonly #volumes = new Map<number, BlockVolume>();
  #wake = false;

  /** Makes the folder, and removes what an earlier process left in it. */
  constructor(options: ExportOptions) {
    this.#options = options;
    mkdirSync(options.nbdDir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(options.nbdDir))
      if (OWN_SOCKET.test(name)) rmSync(join(options.nbdDir, name));
    options.loop.addFlush(() => {
      this.#flush();
    });
  }

  /** Volumes that can be used now. */
  volumes(): Iterable<BlockVolume> {
    return this.#volumes.values();
  }

  socketOf(volumeKey: number): string {
    return join(this.#options.nbdDir, `${this.#options.idOf(volumeKey)}.sock`);
  }

  exportAdded(volume: BlockVolume): void {
    const { loop, log, changed } = this.#options;
    const socket = this.socketOf(volume.key);
    const { front } = this;
    const source = {
      open: () => front.open(volume.key),
      close: (session: unknown) => {
        front.close(loop.nowUs, session as NbdSession);
      },
    };
    const failed = (error: Error): void => {
      log.event('error', 'sdc.export-failed', { socket, reason: error.message });
    };
    const server = new UnixServer(socket, source, loop, failed, this.#flushes);
    this.#servers.set(volume.key, server);
    this.#volumes.set(volume.key, volume);
    log.event('info', 'sdc.export-added', { socket, sizeBytes: volume.sizeBytes });
    changed(volume.key, volume);
  }

  exportChanged(volume: BlockVolume): void {
    this.#volumes.set(volume.key, volume);
    this.#options.changed(volume.key, volume);
  }

  exportRemoved(volumeKey: number): void {
    const server = this.#servers.get(volumeKey);
    // Clients shall hear the answers to what they asked before the end of their connection.
    this.#flushes.flush();
    server?.close();
    this.#servers.delete(volumeKey);
    this.#volumes.delete(volumeKey);
    this.#options.log.event('info', 'sdc.export-removed', { socket: this.socketOf(volumeKey) });
    this.#options.changed(volumeKey, null);
  }

  isReady(): boolean {
    return this.#options.isReady();
  }

  unblocked(): void {
    this.#wake = true;
  }

  /** Ends all connections without an answer: whoever uses them asks the next process again. */
  close(): void {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  /** After `close`: removes the folder, unless others have something in it. */
  removeFolder(): void {
    const { nbdDir } = this.#options;
    if (readdirSync(nbdDir).length === 0) rmdirSync(nbdDir);
  }

  #flush(): void {
    if (this.#wake) {
      this.#wake = false;
      for (const server of this.#servers.values()) server.resumeAll();
    }
    this.#flushes.flush();
  }
}
