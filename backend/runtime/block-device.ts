// Block devices of this host over files: loop devices, and what is mounted where. It owns the commands that make and end
// them; it must never touch a loop device or a mount that it was not asked about by the path of its file. A path below a
// mount of this process is only ever handed to other programs: a synchronous call on it would wait for itself.

import { constants, existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
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

/**
 * Makes a loop device over a file, with direct I/O: without it every write would be copied and cached twice.
 *
 * @returns its path, as in /dev/loop3
 * @throws Error of losetup
 */
export async function attachLoop(file: string, readOnly: boolean): Promise<string> {
  const mode = readOnly ? ['--read-only'] : [];
  const options = ['--direct-io=on', '--sector-size', '512', ...mode, '--find', '--show'];
  return run('losetup', [...options, file]);
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
  return readdirSync('/proc').some((name) => /^\d+$/.test(name) && hasOpen(name, device));
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
