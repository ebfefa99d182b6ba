// Names that survive a power cut: a file's content is flushed by whoever writes it, its name only when the directory that
// holds it is flushed. It owns that step, and files for their owner only; it must never know what is in a file.

import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Flushes the names in a directory. @throws Error of the system, when it cannot be opened or flushed */
export function syncDirectory(path: string): void {
  syncFile(path);
}

/** Flushes a file's content. @throws Error of the system */
export function syncFile(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Makes a directory for the owner only, and those above it that are missing, so that their names last. One after the
 * other: where nothing can be made (such as /proc), Node's own way to make several at once does not end.
 * @throws Error of the system
 */
export function makePrivateDirectory(path: string): void {
  if (existsSync(path)) return;
  const parent = dirname(path);
  makePrivateDirectory(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Somebody else may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  syncDirectory(parent);
}

/** Writes a file for the owner only, whole or not at all. */
export function writePrivate(path: string, content: string, mode = 0o600): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode });
  chmodSync(temporary, mode);
  syncFile(temporary);
  renameSync(temporary, path);
  syncDirectory(dirname(path));
}
