// The names under which a volume is found as a block device: /dev/scinia and so on, and two names in /dev/disk/by-id. It
// owns their choice and the links; it must never replace or remove a link that it cannot tell to be of the same volume.
//
// Several clusters may share a folder of devices, so a name is taken by making its link, which only one of them can.

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** A link that was made: where, and what it points to. */
export interface DeviceLink {
  readonly path: string;
  readonly target: string;
}

const PREFIX = 'scini';
const LETTERS = 26;
/** sciniaaa to scinizzz are the last. */
/** Everybody may look devices up: Cinder and QEMU are users of their own. */
const FOLDER_MODE = 0o755;
const NAMES_MAX = LETTERS + LETTERS ** 2 + LETTERS ** 3;

/** The name with a number from 0: scinia ... sciniz, sciniaa ... */
export function deviceName(index: number): string {
  let letters = '';
  for (let rest = index; rest >= 0; rest = Math.floor(rest / LETTERS) - 1)
    letters = String.fromCharCode(97 + (rest % LETTERS)) + letters;
  return PREFIX + letters;
}

/** Names of a volume in the folder by-id, in the forms that clients look for. */
export function idNames(systemId: string, volumeId: string): string[] {
  const name = `emc-vol-${systemId}-${volumeId}`;
  return [name, `scsi-${name}`];
}

/** Makes a link unless something is there already; false: there is. */
function tryLink(link: DeviceLink): boolean {
  try {
    symlinkSync(link.target, link.path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Takes a name for a device.
 *
 * @param preferred - the name that the volume had before; empty: none
 * @param reserved - names that belong to other volumes of this host, taken only when nothing else is free
 * @param intend - called before a link is made, so that it is known even if this process dies at once
 * @throws Error when all names are taken
 */
export function takeName(
  deviceDir: string,
  target: string,
  preferred: string,
  reserved: ReadonlySet<string>,
  intend: (link: DeviceLink) => void,
): string {
  for (const candidate of candidates(preferred, reserved)) {
    const link = { path: join(deviceDir, candidate), target };
    if (isTaken(link.path)) continue;
    intend(link);
    if (tryLink(link)) return candidate;
  }
  throw new Error(`all ${NAMES_MAX} device names in ${deviceDir} are taken`);
}

function* candidates(preferred: string, reserved: ReadonlySet<string>): Generator<string> {
  if (preferred !== '') yield preferred;
  for (let index = 0; index < NAMES_MAX; index++) {
    const name = deviceName(index);
    if (name !== preferred && !reserved.has(name)) yield name;
  }
  yield* reserved;
}

function isTaken(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Makes the folder where it is missing, as udev would: whatever the umask of this process is. */
function ensureFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made))
    chmodSync(made, FOLDER_MODE);
}

/** Makes a link whose name belongs to one volume; an older one of the same name is replaced without a gap. */
export function putLink(link: DeviceLink): void {
  ensureFolder(dirname(link.path));
  if (tryLink(link)) return;
  const beside = `${link.path}.meshsan-${process.pid}`;
  rmSync(beside, { force: true });
  symlinkSync(link.target, beside);
  renameSync(beside, link.path);
}

/** Removes a link if it is still the one that was made; true when it was. */
export function removeLink(link: DeviceLink): boolean {
  let target: string;
  try {
    target = readlinkSync(link.path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Gone, or something else than a link now.
    if (code === 'ENOENT' || code === 'EINVAL') return false;
    throw error;
  }
  if (target !== link.target) return false;
  rmSync(link.path);
  return true;
}
