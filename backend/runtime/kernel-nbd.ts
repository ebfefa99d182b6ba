// The kernel's nbd driver: has it make a block device of a unix socket, and change or end that. It owns the calls of the
// program that speaks netlink; it must never touch a device that does not carry the name it is asked about.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { hasOpenElsewhere, isKernelMade } from './block-device.js';

/** Beside the programs of a package, and in the repository seen from its compiled form. */
const PROGRAM_PLACES = [
  join(import.meta.dirname, '../../libexec/nbd-device'),
  join(import.meta.dirname, '../../../backend/deploy/packages/files/libexec/nbd-device'),
] as const;
const PYTHON = '/usr/bin/python3';
const COMMAND_MS = 20_000;
/** Nobody is asked longer whether a device is used: whoever keeps the answer back uses it. */
const USED_MS = 5000;
const IN_USE = 3;
const DEVICE = /^nbd\d+$/;
/** So long the kernel keeps requests while nobody serves the socket: time for a holder that was killed to come back. */
const DEAD_SECONDS = 300;

/** A device and the socket behind it. */
export interface NbdServing {
  /** Known to the kernel as the device's owner; unique. */
  readonly name: string;
  readonly socket: string;
  readonly sizeBytes: number;
}

function start(command: string, ...args: readonly (string | number)[]) {
  const program = PROGRAM_PLACES.find((path) => existsSync(path)) ?? PROGRAM_PLACES[0];
  return execa(PYTHON, ['-I', program, command, ...args.map(String)], {
    stdin: 'ignore',
    timeout: COMMAND_MS,
    env: { LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
}

/** @throws Error with the program's sentence */
async function run(command: string, ...args: readonly (string | number)[]): Promise<string> {
  try {
    const { stdout } = await start(command, ...args);
    return stdout.trim();
  } catch (error) {
    const { stderr } = error as { readonly stderr?: string };
    const said = stderr?.trim() ?? '';
    throw said === '' ? error : new Error(said, { cause: error });
  }
}

/** The driver was looked for, and loaded, in vain. */
let isMissing = false;

const isLoaded = (): boolean => existsSync('/sys/module/nbd');

/** Whether it is worth trying: in a container's own /dev a new device would have no name. */
export function canUseNbd(): boolean {
  return existsSync(PYTHON) && isKernelMade('/dev') && (isLoaded() || !isMissing);
}

export function nbdPath(index: number): string {
  return `/dev/nbd${index}`;
}

/** The number of the device with a name; null: there is none. */
export function nbdOf(name: string): number | null {
  if (!existsSync('/sys/block')) return null;
  for (const device of readdirSync('/sys/block'))
    if (DEVICE.test(device) && nameOf(device) === name) return Number(device.slice('nbd'.length));
  return null;
}

function nameOf(device: string): string | null {
  try {
    return readFileSync(join('/sys/block', device, 'backend'), 'utf8').trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Unused, or let go at this moment.
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO') return null;
    throw error;
  }
}

/**
 * Makes a device.
 *
 * @param flags - what it can do, as NBD's transmission flags
 * @returns its number
 * @throws Error when the kernel has no nbd, or refuses
 */
export async function connectNbd(serving: NbdServing, flags: number): Promise<number> {
  const { socket, sizeBytes, name } = serving;
  try {
    return Number(await run('connect', socket, sizeBytes, flags, name, DEAD_SECONDS));
  } finally {
    isMissing = !isLoaded();
  }
}

/** Serves a device whose socket is dead through another one; requests that were not answered come again. */
export async function reconnectNbd(index: number, serving: NbdServing): Promise<void> {
  const { socket, sizeBytes, name } = serving;
  await run('reconnect', index, socket, sizeBytes, name, DEAD_SECONDS);
}

export async function resizeNbd(index: number, name: string, sizeBytes: number): Promise<void> {
  await run('resize', index, sizeBytes, name);
}

/** Ends a device when its last user closes it, which may be at once. */
export async function releaseNbd(index: number, name: string): Promise<void> {
  await run('release', index, name);
  // The kernel acts when somebody closes the device. Opening it may wait for a read of it, so nobody waits for that.
  start('close', index).catch(() => undefined);
}

/** Ends a device at once, whoever uses it. */
export async function disconnectNbd(index: number): Promise<void> {
  await run('disconnect', index);
}

/**
 * Whether somebody uses a device: a file system, swap, another device on top of it, or a process that has it open. It is
 * asked by a process of its own, because opening a device can wait for a read of it.
 */
export async function isNbdUsed(index: number): Promise<boolean> {
  const asked = start('used', index).then(
    () => false,
    (error: unknown) => {
      if ((error as { readonly exitCode?: number }).exitCode === IN_USE) return true;
      throw error;
    },
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((done) => {
    timer = setTimeout(done, USED_MS, true);
  });
  const used = await Promise.race([asked, late]).finally(() => {
    clearTimeout(timer);
  });
  return used || hasOpenElsewhere(nbdPath(index));
}
