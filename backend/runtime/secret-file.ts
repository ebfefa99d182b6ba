// The system's secret as a file. It owns the rules for such files: private to the owner, long enough, on one line. The
// secret is handed on as bytes and must never be logged.

import { readFileSync, statSync } from 'node:fs';

const SECRET_CHARS_MIN = 32;

/** A secret file that must not be used; the message names the file and what would be right, never the content. */
export class SecretFileError extends Error {
  override readonly name = 'SecretFileError';
}

/**
 * The secret kept in a file: its text without the line end.
 * @throws SecretFileError when it is missing, readable by others, or too short
 */
export function readSecretFile(path: string): Buffer {
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0)
      throw new SecretFileError(`${path} must be readable by its owner only (chmod 600)`);
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (error instanceof SecretFileError) throw error;
    throw new SecretFileError(`${path} cannot be read: ${(error as Error).message}`);
  }
  if (text.length < SECRET_CHARS_MIN)
    throw new SecretFileError(`${path} must hold at least ${SECRET_CHARS_MIN} characters`);
  return Buffer.from(text, 'utf8');
}
