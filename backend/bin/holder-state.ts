// What the holder of block devices must know of itself after it was killed: which mounts, loop devices and links are its
// own, and which name each volume had. It owns that file; what is not in it is not ours and stays.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../core/ports.js';
import { detachLoop, isMounted, loopsOver } from '../runtime/block-device.js';
import { removeLink } from '../runtime/block-device-names.js';
import type { DeviceLink } from '../runtime/block-device-names.js';
import { unmountLazily } from '../runtime/fuse-mount.js';
import { disconnectNbd, nbdOf } from '../runtime/kernel-nbd.js';
import type { AttachRequest } from './holder-carrier.js';

const STATE_VERSION = 1;
/** Names of volumes that were detached are kept for so many. */
const NAMES_MAX = 4096;
/** A device that the kernel is letting go of is gone after this, in steps of so much. */
const LET_GO_MS = 1000;
const STEP_MS = 20;

/** One attachment, written before each step that leaves something in the system. */
export interface AttachmentRecord {
  readonly volumeId: string;
  /** The file of the FUSE mount, or the socket of the kernel's nbd; unique per attachment. */
  readonly mountPoint: string;
  readonly links: readonly DeviceLink[];
  /** Of a device of the kernel's nbd, which outlives this process. */
  readonly nbd?: {
    /** By which the kernel knows it. */
    readonly name: string;
    readonly request: AttachRequest;
    readonly isReleasing: boolean;
  };
}

interface Content {
  readonly version: number;
  readonly names: Readonly<Record<string, string>>;
  readonly attachments: readonly AttachmentRecord[];
}

export class HolderState {
  readonly dir: string;
  readonly #file: string;
  readonly #names: Map<string, string>;
  readonly #records = new Map<string, AttachmentRecord>();

  /** Reads what an earlier process left. */
  constructor(stateDir: string) {
    this.dir = join(stateDir, 'holder');
    this.#file = join(this.dir, 'state.json');
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const content = readContent(this.#file);
    this.#names = new Map(Object.entries(content.names));
    for (const record of content.attachments) this.#records.set(record.mountPoint, record);
  }

  /** Notes an attachment as it is about to be. */
  put(record: AttachmentRecord): void {
    this.#records.set(record.mountPoint, record);
    this.#save();
  }

  remove(mountPoint: string): void {
    this.#records.delete(mountPoint);
    this.#save();
  }

  /** The name that a volume had last; empty: none. */
  nameOf(volumeId: string): string {
    return this.#names.get(volumeId) ?? '';
  }

  /** Names of all volumes but one. */
  namesOfOthers(volumeId: string): Set<string> {
    const others = [...this.#names].filter(([id]) => id !== volumeId);
    return new Set(others.map(([, name]) => name));
  }

  /** The youngest names are kept. */
  setName(volumeId: string, name: string): void {
    this.#names.delete(volumeId);
    this.#names.set(volumeId, name);
    for (const [oldest] of this.#names) {
      if (this.#names.size <= NAMES_MAX) break;
      this.#names.delete(oldest);
    }
    this.#save();
  }

  /** Devices of a killed holder that wait in the kernel to be served again. */
  waiting(): AttachmentRecord[] {
    return [...this.#records.values()].filter(({ nbd }) => nbd !== undefined);
  }

  /** Takes away what a killed holder left behind and what answers every I/O with an error by now. */
  async cleanLeftovers(log: Log): Promise<void> {
    for (const record of [...this.#records.values()]) {
      if (record.nbd !== undefined) continue;
      try {
        await takeAway(record);
        this.remove(record.mountPoint);
        log.event('warn', 'holder.leftover-removed', { volumeId: record.volumeId });
      } catch (error) {
        // It stays recorded, and is tried again by the next process.
        const reason = (error as Error).message;
        log.event('error', 'holder.leftover-stays', { volumeId: record.volumeId, reason });
      }
    }
  }

  #save(): void {
    const content: Content = {
      version: STATE_VERSION,
      names: Object.fromEntries(this.#names),
      attachments: [...this.#records.values()],
    };
    const beside = `${this.#file}.new`;
    writeFileSync(beside, JSON.stringify(content, null, 2), { mode: 0o600 });
    renameSync(beside, this.#file);
  }
}

function readContent(file: string): Content {
  if (!existsSync(file)) return { version: STATE_VERSION, names: {}, attachments: [] };
  const content = JSON.parse(readFileSync(file, 'utf8')) as Content;
  if (content.version !== STATE_VERSION)
    throw new Error(`${file} has version ${content.version}; this release knows ${STATE_VERSION}`);
  return content;
}

/** Removes whatever of an attachment exists, in an order in which nothing points to what is gone. */
export async function takeAway(record: AttachmentRecord): Promise<void> {
  for (const link of record.links) removeLink(link);
  if (record.nbd !== undefined) await endNbd(record.nbd.name);
  for (const name of loopsOver(record.mountPoint)) await detachLoop(join('/dev', name));
  if (isMounted(record.mountPoint)) await unmountLazily(record.mountPoint);
  rmSync(record.mountPoint, { force: true });
}

/** The kernel may be ending the device at this moment; otherwise it is told to. */
async function endNbd(name: string): Promise<void> {
  for (let left = LET_GO_MS; left > 0 && nbdOf(name) !== null; left -= STEP_MS)
    await new Promise((done) => setTimeout(done, STEP_MS));
  const index = nbdOf(name);
  if (index !== null) await disconnectNbd(index);
}
