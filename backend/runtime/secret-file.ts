// Files that others must not read: the system's secret and configurations. It owns the rules for them: private to the
// owner, of bounded size. Content is handed on and must never be logged or quoted in a message.

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';

const FILE_BYTES_MAX = 1024 * 1024;
const SECRET = /^[0-9a-f]{64}$/i;

/** A private file that must not be used; the message names the file and what would be right, never its content. */
export class PrivateFileError extends Error {
  override readonly name = 'PrivateFileError';
}

/**
 * The text of a file that only its owner may read.
 * @throws PrivateFileError when it is missing, readable by others, or larger than 1 MiB
 */
export function readPrivateFile(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new PrivateFileError(`${path} cannot be read: ${(error as Error).message}`);
  }
  try {
    const stat = fstatSync(file);
    const { mode, size } = stat;
    if (stat.isDirectory()) throw new PrivateFileError(`${path} is a folder; a file is needed`);
    if ((mode & 0o077) !== 0)
      throw new PrivateFileError(
        `${path} has mode 0${(mode & 0o777).toString(8)}; it must be readable by its owner only: chmod 600 ${path}`,
      );
    if (size > FILE_BYTES_MAX)
      throw new PrivateFileError(`${path} must have at most ${FILE_BYTES_MAX} bytes, has ${size}`);
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/**
 * The system's secret: 32 bytes, kept as 64 hex digits.
 * @throws PrivateFileError when the file cannot be used
 */
export function readSecretFile(path: string): Uint8Array {
  const text = readPrivateFile(path).trim();
  if (!SECRET.test(text)) throw new PrivateFileError(`${path} must hold 64 hex digits`);
  return new Uint8Array(Buffer.from(text, 'hex'));
}
