// /dev/scini of this host: a character device where the kernel has CUSE, otherwise a file that answers like one. It owns
// the name below the folder of devices; it must never take it from a process that answers there.

import { existsSync, lstatSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import { isMounted } from '../runtime/block-device.js';
import { CUSE, FuseMount, unmountLazily } from '../runtime/fuse-mount.js';
import type { Loop } from '../runtime/loop.js';
import { SCINI_REQUEST_BYTES_MAX, SciniSession } from '../sdc/attach/scini-session.js';
import type { SciniTicket } from '../sdc/attach/scini-session.js';

export type SciniKind = 'cuse' | 'fuse';

const NAME = 'scini';
const RETRY_MS = 2000;

export interface SciniOptions {
  readonly kind: SciniKind;
  readonly deviceDir: string;
  readonly guid: string;
  readonly loop: Loop;
  readonly log: Log;
  /** Waits until all mappings are known. */
  readonly rescan: () => Promise<unknown>;
}

/** What this kernel can do. */
export function sciniKind(): SciniKind {
  return existsSync(CUSE) ? 'cuse' : 'fuse';
}

export class SciniDevice {
  readonly #options: SciniOptions;
  readonly #path: string;
  #mount: FuseMount | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  #complaint = '';

  constructor(options: SciniOptions) {
    this.#options = options;
    this.#path = join(options.deviceDir, NAME);
  }

  /** Makes the device; where that fails it says why, and tries again. */
  async start(): Promise<void> {
    if (this.#stopped) return;
    const { kind, log } = this.#options;
    try {
      if (kind === 'cuse') this.#mount = this.#character();
      else this.#mount = await this.#file();
      log.event('info', 'sdc.scini-ready', { path: this.#path, kind });
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.#complaint) log.event('error', 'sdc.scini-failed', { reason });
      this.#complaint = reason;
      this.#timer = setTimeout(() => void this.start(), RETRY_MS);
      this.#timer.unref();
    }
  }

  /** Takes the device away. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#mount === null) return;
    this.#mount.end();
    if (this.#options.kind === 'fuse') await this.#takeAway();
  }

  #character(): FuseMount {
    const { loop } = this.#options;
    return FuseMount.character(SCINI_REQUEST_BYTES_MAX, loop, (mount) => this.#session(mount));
  }

  async #file(): Promise<FuseMount> {
    const { loop } = this.#options;
    if (isMounted(this.#path)) {
      if (await answers(this.#path))
        throw new Error(`${this.#path} belongs to another client process of this host`);
      await this.#takeAway();
    }
    if (!existsSync(this.#path)) writeFileSync(this.#path, '', { mode: 0o600, flag: 'wx' });
    else if (!lstatSync(this.#path).isFile())
      throw new Error(`${this.#path} is there already, and is not ours`);
    return FuseMount.mount(
      ...([this.#path, 'meshsan-scini', false, SCINI_REQUEST_BYTES_MAX, loop] as const),
      (mount) => this.#session(mount),
    );
  }

  #session(mount: FuseMount): SciniSession {
    const { guid } = this.#options;
    const session: SciniSession = new SciniSession(NAME, guid, {
      reply: (bytes, at, lengthBytes) => {
        mount.reply(bytes, at, lengthBytes);
      },
      rescan: (ticket) => {
        void this.#rescan(session, ticket);
      },
    });
    return session;
  }

  async #rescan(session: SciniSession, ticket: SciniTicket): Promise<void> {
    try {
      await this.#options.rescan();
      session.rescanned(ticket, true);
    } catch (error) {
      this.#options.log.event('warn', 'sdc.scini-rescan', { reason: (error as Error).message });
      session.rescanned(ticket, false);
    }
  }

  async #takeAway(): Promise<void> {
    await unmountLazily(this.#path);
    if (!isMounted(this.#path)) rmSync(this.#path, { force: true });
  }
}

/** Whether a process answers behind a mounted file; the mount of one that died refuses everything. */
async function answers(path: string): Promise<boolean> {
  try {
    await (await open(path, 'r')).close();
    return true;
  } catch (error) {
    if (['ENOTCONN', 'ECONNABORTED'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return false;
    throw error;
  }
}
