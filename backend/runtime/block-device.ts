// Block devices of this host over files: loop devices, and what is mounted where. It owns the commands that make and end
// them; it must never touch a loop device or a mount that it was not asked about by the path of its file. A path below a
// mount of this process is only ever handed to other programs: a synchronous call on it would wait for itself.

import { constants, existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execa } from 'execa';

const COMMAND_MS = 20_000;
const LOOP = /^loop\d+$/;

async function run(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execa(command, args, {
    stdin: 'ignore',
    timeout: COMMAND_MS,
    env: { LC_ALL: 'C', PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
  });
  return stdout.trim();
}

/** The file behind a loop device by its name (`loop3`); null: it has none. */
function backingFile(name: string): string | null {
  try {
    return readFileSync(join('/sys/block', name, 'loop', 'backing_file'), 'utf8').trimEnd();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A device that is let go at this moment has no such entry, or none that can be read.
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO') return null;
    throw error;
  }
}

/** Names of the loop devices over a file. */
export function loopsOver(file: string): string[] {
  if (!existsSync('/sys/block')) return [];
  return readdirSync('/sys/block').filter((name) => LOOP.test(name) && backingFile(name) === file);
}

/** Where the numbers begin that are chosen here: programs that let the kernel choose get the lowest. */
const OWN_LOOP_FIRST = 128;
const OWN_LOOPS = 2048;

/** A folder of devices in which the kernel itself makes the names of new ones. */
export function isKernelMade(folder: string): boolean {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[4] === folder);
  // What was mounted last covers the others.
  return mounts.at(-1)?.includes(' - devtmpfs ') === true;
}

/**
 * A loop device to try. Everybody who lets the kernel choose tries the same one, and while the kernel sets that one up,
 * which takes as long as the file behind it needs to answer, all of them wait. So numbers far above are used: one that is
 * free, or else a new one.
 *
 * @returns its path; null: let the kernel choose
 */
function freeLoop(tried: ReadonlySet<string>): string | null {
  const makesNames = isKernelMade('/dev');
  const start = Math.floor(Math.random() * OWN_LOOPS);
  const numbers = Array.from(
    { length: OWN_LOOPS },
    (_, index) => OWN_LOOP_FIRST + ((start + index) % OWN_LOOPS),
  );
  const names = numbers.map((number) => `loop${number}`).filter((name) => !tried.has(name));
  const exists = (name: string): boolean => existsSync(join('/sys/block', name));
  const free = names.find(
    (name) => exists(name) && existsSync(join('/dev', name)) && backingFile(name) === null,
  );
  const made = names.find(
    (name) => !exists(name) && (makesNames || existsSync(join('/dev', name))),
  );
  const found = free ?? made;
  return found === undefined ? null : join('/dev', found);
}

const LOOP_TRIES = 8;

/**
 * Makes a loop device over a file, with direct I/O: without it every write would be copied and cached twice.
 *
 * @returns its path, as in /dev/loop3
 * @throws Error of losetup
 */
export async function attachLoop(file: string, readOnly: boolean): Promise<string> {
  const mode = readOnly ? ['--read-only'] : [];
  const options = ['--direct-io=on', '--sector-size', '512', ...mode, '--show'];
  const tried = new Set<string>();
  for (let number = 0; number < LOOP_TRIES; number++) {
    const device = freeLoop(tried);
    if (device === null) break;
    try {
      return await run('losetup', [...options, device, file]);
    } catch (error) {
      // Somebody else took it at the same moment.
      if (!(error as Error).message.includes('busy')) throw error;
      tried.add(basename(device));
    }
  }
  return run('losetup', [...options, '--find', file]);
}

/** Makes a loop device as large as its file is now. */
export async function refreshLoop(device: string): Promise<void> {
  await run('losetup', ['--set-capacity', device]);
}

/** Ends a loop device: now, or when its last user closes it. */
export async function detachLoop(device: string): Promise<void> {
  await run('losetup', ['--detach', device]);
}

/** Whether something is mounted on a path. */
export function isMounted(path: string): boolean {
  // Blanks and the like are written as octal numbers there.
  const field = path.replace(/[\\ \t\n]/g, (character) => `\\${octal(character)}`);
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === field);
}

function octal(character: string): string {
  return character.charCodeAt(0).toString(8).padStart(3, '0');
}

/** Whether somebody uses a block device: a file system, swap, another device on top of it, or a process that has it open. */
export async function isUsed(device: string): Promise<boolean> {
  try {
    const file = await open(device, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return true;
    throw error;
  }
  return hasOpenElsewhere(device);
}

/** Whether any process has a path open. */
export function hasOpenElsewhere(path: string): boolean {
  return readdirSync('/proc').some((name) => /^\d+$/.test(name) && hasOpen(name, path));
}

/** Whether a process has a path open. */
function hasOpen(pid: string, path: string): boolean {
  const folder = join('/proc', pid, 'fd');
  try {
    return readdirSync(folder).some((name) => linkTarget(join(folder, name)) === path);
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

/** Processes and their descriptors come and go while they are looked at; kernel threads show none. */
function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return ['ENOENT', 'ESRCH', 'EACCES'].includes(code);
}
