// Passwords of users: how they are hashed, checked and judged, and how guessing is slowed down. It owns the parameters
// of scrypt; a password never leaves the arguments of these functions, neither into a log nor into an error text.

import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

/** Cost of one check: about 16 MiB and 40 ms, so that a stolen record is slow to guess. */
const SCRYPT = { N: 16384, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const HASH_BYTES = 64;
const SALT_BYTES = 32;
const PASSWORD_CHARS_MIN = 6;
const PASSWORD_CHARS_MAX = 128;
const CHECKS_AT_ONCE = 2;
const CHECKS_WAITING_MAX = 64;
const REMEMBERED_MS = 300_000;
const REMEMBERED_MAX = 256;
const FREE_FAILURES = 5;
const BLOCK_MS_MAX = 60_000;
const FORGET_FAILURES_MS = 600_000;
const WATCHED_MAX = 4096;

/** What the cluster keeps of a password. */
export interface PasswordRecord {
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** Too many checks wait already; the caller says "busy". */
export class PasswordChecksBusy extends Error {
  override readonly name = 'PasswordChecksBusy';
}

function derive(password: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFC'), salt, HASH_BYTES, SCRYPT, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

/** A new random password of letters and digits only, so that it survives every shell and every form field. */
export function newPassword(): string {
  let password: string;
  do password = randomBytes(18).toString('base64').replace(/[+/=]/g, '7');
  while (passwordFault(password) !== null);
  return password;
}

/** A fresh salt and the hash of a password under it. */
export async function hashPassword(password: string): Promise<PasswordRecord> {
  const salt = randomBytes(SALT_BYTES);
  return { salt: new Uint8Array(salt), hash: new Uint8Array(await derive(password, salt)) };
}

/** Why a new password is not acceptable, in words for people; null when it is. */
export function passwordFault(password: string): string | null {
  if (password.length < PASSWORD_CHARS_MIN)
    return `it must have at least ${PASSWORD_CHARS_MIN} characters`;
  if (password.length > PASSWORD_CHARS_MAX)
    return `it must have at most ${PASSWORD_CHARS_MAX} characters`;
  if (/\p{Cc}/u.test(password)) return 'it must not contain control characters';
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{L}\p{Nd}]/u];
  if (kinds.filter((kind) => kind.test(password)).length < 3)
    return 'it must mix three of lower case, upper case, digits and other characters';
  return null;
}

/**
 * Checks passwords against records in the same time whether the user exists or not, a bounded number at once. A
 * password that was right is remembered for five minutes as a keyed digest in memory, because some clients log in
 * before every call.
 */
export class PasswordChecker {
  private readonly processKey = randomBytes(32);
  private readonly remembered = new Map<
    string,
    { readonly digest: Buffer; readonly untilMs: number }
  >();
  private readonly waiting: (() => void)[] = [];
  private running = 0;
  private readonly nobody: PasswordRecord = {
    salt: new Uint8Array(randomBytes(SALT_BYTES)),
    hash: new Uint8Array(randomBytes(HASH_BYTES)),
  };

  /**
   * Whether the password is the one of the record.
   * @param record - null where the user does not exist; costs the same
   * @throws PasswordChecksBusy when too many checks wait
   */
  async matches(password: string, record: PasswordRecord | null, nowMs: number): Promise<boolean> {
    if (password.length > PASSWORD_CHARS_MAX) return false;
    const { salt, hash } = record ?? this.nobody;
    const name = Buffer.from(hash).toString('base64');
    const digest = createHmac('sha256', this.processKey).update(password.normalize('NFC')).digest();
    const known = this.remembered.get(name);
    if (known !== undefined && known.untilMs > nowMs && timingSafeEqual(known.digest, digest))
      return true;
    await this.enter();
    try {
      const derived = await derive(password, salt);
      const right =
        derived.length === hash.length && timingSafeEqual(derived, hash) && record !== null;
      if (right) this.remember(name, digest, nowMs);
      return right;
    } finally {
      this.leave();
    }
  }

  private remember(name: string, digest: Buffer, nowMs: number): void {
    this.remembered.delete(name);
    if (this.remembered.size >= REMEMBERED_MAX) {
      const oldest = this.remembered.keys().next();
      if (oldest.done !== true) this.remembered.delete(oldest.value);
    }
    this.remembered.set(name, { digest, untilMs: nowMs + REMEMBERED_MS });
  }

  private async enter(): Promise<void> {
    if (this.running < CHECKS_AT_ONCE) {
      this.running += 1;
      return;
    }
    if (this.waiting.length >= CHECKS_WAITING_MAX)
      throw new PasswordChecksBusy('Too many logins at once');
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  /** Hands the place to who waits longest, or frees it. */
  private leave(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.running -= 1;
    else next();
  }
}

interface Watched {
  readonly failures: number;
  readonly atMs: number;
}

/**
 * Slows down guessing: after five failures in a row, further attempts with the same name from the same place are
 * refused unchecked for 1, 2, 4 ... 60 seconds. Kept per name and place, so that nobody can lock others out.
 */
export class LoginThrottle {
  private readonly watched = new Map<string, Watched>();

  /** Milliseconds until another attempt is looked at; 0: now. */
  waitMs(user: string, place: string, nowMs: number): number {
    const seen = this.watched.get(LoginThrottle.keyOf(user, place));
    if (seen === undefined || seen.failures < FREE_FAILURES) return 0;
    const blockMs = Math.min(1000 * 2 ** (seen.failures - FREE_FAILURES), BLOCK_MS_MAX);
    return Math.max(0, seen.atMs + blockMs - nowMs);
  }

  /** Notes the outcome of an attempt that was looked at. */
  note(user: string, place: string, right: boolean, nowMs: number): void {
    const key = LoginThrottle.keyOf(user, place);
    const before = this.watched.get(key);
    this.watched.delete(key);
    if (right) return;
    const carried =
      before !== undefined && nowMs - before.atMs < FORGET_FAILURES_MS ? before.failures : 0;
    if (this.watched.size >= WATCHED_MAX) {
      const oldest = this.watched.keys().next();
      if (oldest.done !== true) this.watched.delete(oldest.value);
    }
    this.watched.set(key, { failures: carried + 1, atMs: nowMs });
  }

  private static keyOf(user: string, place: string): string {
    return JSON.stringify([user.slice(0, 64), place]);
  }
}
