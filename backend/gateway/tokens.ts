// Tokens of the REST interface. It owns their form and their lifetimes. A token is signed under a key derived from the
// system's secret and carries all that is needed to accept it, so every gateway of a system accepts every token. What
// can only be known in one place is kept as far as this process can: a token that was logged out here, or that was
// last used here more than the idle time ago, is refused here; another gateway may still take it until its end of life.

import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

export const TOKEN_LIFE_MS = 8 * 3_600_000;
export const TOKEN_IDLE_MS = 600_000;
const CLOCK_SKEW_MS = 60_000;
const TOKEN_CHARS_MAX = 1024;
const WATCHED_MAX = 16_384;
const FORM = 'm1';

/** Whom a token speaks for. */
export interface TokenClaims {
  readonly userKey: number;
  readonly user: string;
  readonly systemId: string;
  /** Wall clock of the login. */
  readonly issuedAtMs: number;
  /** Tells apart the passwords that a user had: a token ends with the password that it was got for. */
  readonly passwordMark: string;
  /** Random; names this token. */
  readonly tokenId: string;
}

/** Remembers a bounded number of names with a time; the oldest entry gives way. */
class BoundedTimes {
  private readonly times = new Map<string, number>();

  get(name: string): number | undefined {
    return this.times.get(name);
  }

  set(name: string, timeMs: number): void {
    this.times.delete(name);
    if (this.times.size >= WATCHED_MAX) {
      const oldest = this.times.keys().next();
      if (oldest.done !== true) this.times.delete(oldest.value);
    }
    this.times.set(name, timeMs);
  }
}

function isClaims(value: unknown): value is TokenClaims {
  if (typeof value !== 'object' || value === null) return false;
  const claims = value as Readonly<Record<string, unknown>>;
  return (
    Number.isInteger(claims['userKey']) &&
    Number.isInteger(claims['issuedAtMs']) &&
    ['user', 'systemId', 'passwordMark', 'tokenId'].every(
      (name) => typeof claims[name] === 'string',
    )
  );
}

/** Gives out and checks tokens of one system. */
export class TokenBook {
  private readonly key: Buffer;
  private readonly lastUse = new BoundedTimes();
  private readonly loggedOut = new BoundedTimes();

  /** @param secret - of the system */
  constructor(secret: Uint8Array) {
    this.key = Buffer.from(hkdfSync('sha256', secret, '', 'meshsan gateway tokens', 32));
  }

  /** A fresh token. */
  issue(
    claims: Omit<TokenClaims, 'issuedAtMs' | 'tokenId'>,
    nowMs: number,
  ): { readonly token: string; readonly claims: TokenClaims } {
    const full = { ...claims, issuedAtMs: nowMs, tokenId: randomBytes(9).toString('base64url') };
    const content = Buffer.from(JSON.stringify(full)).toString('base64url');
    this.lastUse.set(full.tokenId, nowMs);
    return { token: `${FORM}.${content}.${this.sign(content)}`, claims: full };
  }

  /**
   * The claims of a token, or null when it is forged, expired, idle for too long, logged out, or of another system.
   * Counts as a use.
   */
  accept(token: string, systemId: string, nowMs: number): TokenClaims | null {
    const claims = this.verify(token);
    if (claims?.systemId !== systemId) return null;
    const ageMs = nowMs - claims.issuedAtMs;
    if (ageMs > TOKEN_LIFE_MS || ageMs < -CLOCK_SKEW_MS) return null;
    if (this.loggedOut.get(claims.tokenId) !== undefined) return null;
    const usedMs = this.lastUse.get(claims.tokenId);
    if (usedMs !== undefined && nowMs - usedMs > TOKEN_IDLE_MS) return null;
    this.lastUse.set(claims.tokenId, nowMs);
    return claims;
  }

  /** Refuses a token from now on, in this process. */
  end(claims: TokenClaims, nowMs: number): void {
    this.loggedOut.set(claims.tokenId, nowMs);
  }

  private verify(token: string): TokenClaims | null {
    if (token.length > TOKEN_CHARS_MAX) return null;
    const [form, content, mac, ...more] = token.split('.');
    if (form !== FORM || content === undefined || mac === undefined || more.length > 0) return null;
    const expected = Buffer.from(this.sign(content));
    const given = Buffer.from(mac);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
    // Signed by us, so it parses; the check of its form guards against tokens of another release.
    const claims: unknown = JSON.parse(Buffer.from(content, 'base64url').toString('utf8'));
    return isClaims(claims) ? claims : null;
  }

  private sign(content: string): string {
    return createHmac('sha256', this.key).update(`${FORM}.${content}`).digest('base64url');
  }
}
