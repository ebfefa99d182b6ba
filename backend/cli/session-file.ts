// The session of an operating system user, in a file that only that user may read. It owns its form; a file that cannot
// be used counts as "not logged in".

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { PrivateFileError, readPrivateFile } from '../runtime/secret-file.js';

import type { Session } from './option.js';

const SESSION_MS = 8 * 3_600_000;

export interface SessionStore {
  /** The session, or null when there is none or it is over. */
  read(nowMs: number): Session | null;
  write(session: Session): void;
  clear(): void;
}

function isSession(value: unknown): value is Session {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return (
    ['user', 'systemId', 'passwordMark'].every((name) => typeof fields[name] === 'string') &&
    ['userKey', 'startedAtMs'].every((name) => Number.isSafeInteger(fields[name]))
  );
}

/**
 * @param directory - made private to its owner
 * @param uid - of the operating system user
 */
export function sessionStore(directory: string, uid: number): SessionStore {
  const path = join(directory, `session-${uid}.json`);
  return {
    read(nowMs) {
      try {
        const session: unknown = JSON.parse(readPrivateFile(path));
        if (!isSession(session)) return null;
        const ageMs = nowMs - session.startedAtMs;
        return ageMs >= 0 && ageMs <= SESSION_MS ? session : null;
      } catch (error) {
        if (error instanceof PrivateFileError || error instanceof SyntaxError) return null;
        throw error;
      }
    },
    write(session) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const beside = `${path}.${process.pid}`;
      writeFileSync(beside, JSON.stringify(session), { mode: 0o600 });
      renameSync(beside, path);
    },
    clear() {
      rmSync(path, { force: true });
    },
  };
}
