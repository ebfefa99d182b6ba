// Proof that both ends hold the same token, without sending it: the driver signs each request, the bridge each answer. It
// owns the texts that are signed and the window in which a request counts; the token must never reach a log or an answer.
// The driver's half is python/meshsan_cinder/client.py.

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

import { readSecretFile } from '../backend/runtime/secret-file.js';

const SCHEME = /^MeshSAN-HMAC (\d{1,15}):([0-9a-f]{32}):([0-9a-f]{64})$/;
/** Clocks are those of one host, or of hosts that keep time. */
const WINDOW_MS = 120_000;
const NONCES_MAX = 100_000;

/** Header of an answer that proves who gave it. */
export const PROOF_HEADER = 'x-meshsan-proof';

export interface SignedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly body: Uint8Array;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Signs and checks with one token. */
export class Authentication {
  private readonly token: Uint8Array;
  private readonly nowMs: () => number;
  /** Nonces of the window and when each came, oldest first. */
  private readonly seen = new Map<string, number>();

  constructor(token: Uint8Array, nowMs: () => number) {
    this.token = token;
    this.nowMs = nowMs;
  }

  /** @throws PrivateFileError when the file is missing, readable by others, or no token */
  static fromFile(path: string, nowMs: () => number): Authentication {
    return new Authentication(readSecretFile(path), nowMs);
  }

  /** The header that proves a request. */
  sign(request: SignedRequest): { readonly authorization: string; readonly nonce: string } {
    const nonce = randomBytes(16).toString('hex');
    const at = String(this.nowMs());
    const signature = this.mac(requestText(request, at, nonce));
    return { authorization: `MeshSAN-HMAC ${at}:${nonce}:${signature}`, nonce };
  }

  /** The nonce of a request that was signed with the token just now and never came before; null for any other. */
  accept(header: string | undefined, request: SignedRequest): string | null {
    const [, at = '', nonce = '', signature = ''] = SCHEME.exec(header ?? '') ?? [];
    if (nonce === '') return null;
    const now = this.nowMs();
    const isRight = this.equal(signature, this.mac(requestText(request, at, nonce)));
    if (!isRight || Math.abs(now - Number(at)) > WINDOW_MS) return null;
    for (const [old, cameMs] of this.seen) {
      // A request may be dated ahead by one window, and counts for another.
      if (now - cameMs <= 2 * WINDOW_MS && this.seen.size < NONCES_MAX) break;
      this.seen.delete(old);
    }
    if (this.seen.has(nonce)) return null;
    this.seen.set(nonce, now);
    return nonce;
  }

  /** Proof of an answer to the request with this nonce. */
  prove(nonce: string, status: number, body: Uint8Array): string {
    return this.mac(`answer\n${nonce}\n${status}\n${sha256(body)}`);
  }

  /** Whether an answer is the bridge's. */
  isProof(proof: string, nonce: string, status: number, body: Uint8Array): boolean {
    return this.equal(proof, this.prove(nonce, status, body));
  }

  private mac(text: string): string {
    return createHmac('sha256', this.token).update(text).digest('hex');
  }

  private equal(one: string, other: string): boolean {
    const [left, right] = [Buffer.from(one), Buffer.from(other)];
    return left.length === right.length && timingSafeEqual(left, right);
  }
}

function requestText({ method, path, body }: SignedRequest, at: string, nonce: string): string {
  return `request\n${method}\n${path}\n${at}\n${nonce}\n${sha256(body)}`;
}
