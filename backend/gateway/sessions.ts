// Logins. It owns how credentials are read from a request and what makes a session good: a valid token whose user still
// exists with the password that the token was got for. Users are looked up at most every few seconds.

import { createHash } from 'node:crypto';

import type { Log } from '../core/ports.js';
import type { User } from '../protocol/generated/types.js';
import type { Cluster } from '../runtime/cluster.js';
import { LoginThrottle, PasswordChecker, PasswordChecksBusy } from '../runtime/passwords.js';

import { ApiError } from './api-error.js';
import type { TokenBook, TokenClaims } from './tokens.js';

const USERS_FRESH_MS = 5_000;

/** Name and password, or anything and a token, of a Basic header. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Reads `Authorization: Basic`; null when there is none or it is malformed. */
export function basicCredentials(header: string | undefined): Credentials | null {
  const match = /^\s*basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(header ?? '');
  if (match === null) return null;
  const text = Buffer.from(match[1] ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return null;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** The token of a request: the password of Basic (whatever the user), or Bearer. */
export function tokenOf(header: string | undefined): string | null {
  const bearer = /^\s*bearer\s+(\S+)\s*$/i.exec(header ?? '');
  return bearer?.[1] ?? basicCredentials(header)?.password ?? null;
}

/** Tells the passwords of a user apart without saying anything about them. */
function passwordMark(user: User): string {
  return createHash('sha256').update(user.salt).digest('base64url').slice(0, 12);
}

export class Sessions {
  private readonly cluster: Cluster;
  private readonly tokens: TokenBook;
  private readonly log: Log;
  private readonly checker = new PasswordChecker();
  private readonly throttle = new LoginThrottle();
  private users: readonly User[] = [];
  private usersAtMs = -Infinity;

  constructor(cluster: Cluster, tokens: TokenBook, log: Log) {
    this.cluster = cluster;
    this.tokens = tokens;
    this.log = log;
  }

  /**
   * A token for a name and password.
   * @param place - address of the client, for the throttle
   * @param clock - wall clock in milliseconds; a check takes its time
   * @throws ApiError 401 for any wrong pair, the same whether the user exists
   */
  async login(
    credentials: Credentials | null,
    place: string,
    systemId: string,
    clock: () => number,
  ): Promise<string> {
    if (credentials === null) throw ApiError.unauthorized();
    const { user: name, password } = credentials;
    const nowMs = clock();
    const waitMs = this.throttle.waitMs(name, place, nowMs);
    if (waitMs > 0) {
      this.log.event('warn', 'gateway.login.throttled', { user: name.slice(0, 64), place, waitMs });
      throw ApiError.unauthorized();
    }
    const user = await this.userNamed(name, nowMs, true);
    const right = await this.check(password, user, nowMs);
    this.throttle.note(name, place, right, clock());
    if (user === null || !right) {
      this.log.event('warn', 'gateway.login.refused', { user: name.slice(0, 64), place });
      throw ApiError.unauthorized();
    }
    const mark = { userKey: user.key, user: user.name, systemId, passwordMark: passwordMark(user) };
    return this.tokens.issue(mark, nowMs).token;
  }

  /** Who sends a request. @throws ApiError 401 when the token is not good (any more) */
  async session(header: string | undefined, systemId: string, nowMs: number): Promise<TokenClaims> {
    const token = tokenOf(header);
    const claims = token === null ? null : this.tokens.accept(token, systemId, nowMs);
    if (claims === null) throw ApiError.unauthorized();
    const user = await this.userNamed(claims.user, nowMs, false);
    if (user?.key !== claims.userKey || passwordMark(user) !== claims.passwordMark)
      throw ApiError.unauthorized();
    return claims;
  }

  /** Like a session; but name and password themselves do as well, for programs that cannot log in first. */
  async visit(
    header: string | undefined,
    place: string,
    systemId: string,
    clock: () => number,
  ): Promise<void> {
    const token = tokenOf(header);
    if (token !== null && this.tokens.accept(token, systemId, clock()) !== null)
      await this.session(header, systemId, clock());
    else await this.login(basicCredentials(header), place, systemId, clock);
  }

  logout(claims: TokenClaims, nowMs: number): void {
    this.tokens.end(claims, nowMs);
  }

  private async check(password: string, user: User | null, nowMs: number): Promise<boolean> {
    try {
      return await this.checker.matches(password, user, nowMs);
    } catch (error) {
      if (error instanceof PasswordChecksBusy) throw ApiError.named('TOO_MANY_CONNECTIONS');
      throw error;
    }
  }

  private async userNamed(name: string, nowMs: number, fresh: boolean): Promise<User | null> {
    if (fresh || nowMs - this.usersAtMs > USERS_FRESH_MS || nowMs < this.usersAtMs) {
      this.users = await this.cluster.query('user');
      this.usersAtMs = nowMs;
    }
    return this.users.find((user) => user.name === name) ?? null;
  }
}
