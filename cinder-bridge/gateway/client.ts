// The cluster through its gateways: logs in, stays with a gateway that works, turns to the next one when it does not. It
// owns what is tried again and for how long. Every request that is sent through here must be harmless when it arrives
// twice: callers choose requests that are (unique names, target sizes, holders, generations).

import { setTimeout as pause } from 'node:timers/promises';

import type { Log } from '../../backend/core/ports.js';

import { BridgeError } from '../bridge-error.js';
import { NoAnswer } from './transport.js';
import type { Answer, HttpRequest, Transport } from './transport.js';

/** The cluster understood and said no. */
export class GatewayRefusal extends Error {
  override readonly name = 'GatewayRefusal';
  /** `errorCode` of the answer. */
  readonly errorCode: number;
  readonly httpStatus: number;

  constructor(httpStatus: number, errorCode: number, message: string) {
    super(message);
    this.httpStatus = httpStatus;
    this.errorCode = errorCode;
  }
}

export interface ClientOptions {
  /** One per gateway, in order of preference. */
  readonly transports: readonly Transport[];
  readonly username: string;
  /** Reads the password at each login, so that a changed one needs no restart. */
  readonly password: () => string;
  /** How long one request of a caller may take, all attempts together. */
  readonly deadlineMs: number;
  readonly log: Log;
}

type Call = Omit<HttpRequest, 'auth' | 'timeoutMs'>;

export interface GatewayState {
  readonly url: string;
  readonly reachable: boolean;
  /** Why not; empty when it is. */
  readonly reason: string;
}

const ATTEMPT_MS = 40_000;
const HEALTH_MS = 5000;
/** A gateway that has a request for so long is asked whether it is still there, and again after as long. */
const WATCH_MS = 4000;
const NO_CREDENTIALS = { username: '', password: '' };
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2000;
/** `errorCode`s of answers after which the same request is sent again: not finished yet, try later, timed out. */
const AGAIN: ReadonlySet<number> = new Set([2, 32, 67, 68, 105]);

export class GatewayClient {
  private readonly options: ClientOptions;
  private current = 0;
  private token: string | null = null;
  private login: Promise<string> | null = null;

  constructor(options: ClientOptions) {
    this.options = options;
  }

  get(path: string): Promise<unknown> {
    return this.call({ method: 'GET', path });
  }

  post(path: string, body: unknown): Promise<unknown> {
    return this.call({ method: 'POST', path, body });
  }

  /** Asks every gateway whether it is there. */
  health(): Promise<readonly GatewayState[]> {
    return Promise.all(
      this.options.transports.map(async (transport) => {
        const { url } = transport;
        try {
          const status = await presence(transport);
          const reason = status === 200 ? '' : `it answers ${status}`;
          return { url, reachable: status === 200, reason };
        } catch (error) {
          if (!(error instanceof NoAnswer)) throw error;
          return { url, reachable: false, reason: error.message };
        }
      }),
    );
  }

  /** True when some gateway takes the user and its password and reaches the cluster. */
  async isReady(): Promise<boolean> {
    try {
      await this.call({ method: 'GET', path: '/types/System/instances' }, HEALTH_MS);
      return true;
    } catch (error) {
      if (error instanceof BridgeError || error instanceof GatewayRefusal) return false;
      throw error;
    }
  }

  close(): void {
    for (const transport of this.options.transports) transport.close();
  }

  /**
   * One request, tried until it has an answer that means something.
   *
   * @throws GatewayRefusal when the cluster says no
   * @throws BridgeError unavailable, with the last reason, when the time is over
   */
  private async call(call: Call, deadlineMs = this.options.deadlineMs): Promise<unknown> {
    const deadline = Date.now() + deadlineMs;
    let waitMs = RETRY_MS_MIN;
    let reason: string;
    for (;;) {
      const outcome = await this.attempt(call, deadline);
      if ('answer' in outcome) return outcome.answer;
      reason = outcome.again;
      if (Date.now() + waitMs >= deadline) break;
      await pause(waitMs);
      waitMs = Math.min(waitMs * 2, RETRY_MS_MAX);
    }
    throw new BridgeError('unavailable', `No MeshSAN gateway answered in time: ${reason}`);
  }

  /** One try. @returns the answer, or why to try again */
  private async attempt(
    call: Call,
    deadline: number,
  ): Promise<{ readonly answer: unknown } | { readonly again: string }> {
    const index = this.current;
    const transport = this.options.transports[index];
    if (transport === undefined) throw new Error('the list of gateways is not empty');
    const timeoutMs = Math.max(1, Math.min(ATTEMPT_MS, deadline - Date.now()));
    try {
      const token = this.token ?? (await this.loggedIn(transport, timeoutMs));
      const auth = { username: '', password: token };
      const { status, body } = await watched(transport, { ...call, auth, timeoutMs });
      if (status === 200) return { answer: body };
      if (status === 401) {
        // It ended, or this gateway does not know it: the next try logs in.
        if (this.token === token) this.token = null;
        return { again: 'the session has ended' };
      }
      return this.judged(index, status, body);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.turnFrom(index, error.message);
      return { again: error.message };
    }
  }

  private judged(index: number, status: number, body: unknown): { readonly again: string } {
    const { errorCode, message } = refusalIn(body);
    const again = `${message} (HTTP ${status}, error ${errorCode})`;
    // A proxy in front of the gateway, or a gateway that cannot reach the cluster: another one may.
    if (status >= 502) this.turnFrom(index, again);
    if (status >= 502 || AGAIN.has(errorCode)) return { again };
    throw new GatewayRefusal(status, errorCode, message);
  }

  private turnFrom(index: number, reason: string): void {
    const { transports, log } = this.options;
    if (this.current !== index) return;
    this.current = (index + 1) % transports.length;
    log.event('warn', 'bridge.gateway.failed', {
      gateway: transports[index]?.url ?? '',
      next: transports[this.current]?.url ?? '',
      reason,
    });
  }

  /** A token, which every gateway of the system takes; many callers share one login. */
  private async loggedIn(transport: Transport, timeoutMs: number): Promise<string> {
    this.login ??= this.newToken(transport, timeoutMs).finally(() => {
      this.login = null;
    });
    this.token = await this.login;
    return this.token;
  }

  private async newToken(transport: Transport, timeoutMs: number): Promise<string> {
    const { username, password } = this.options;
    const auth = { username, password: password() };
    const request = { method: 'GET', path: '/login', auth, timeoutMs } as const;
    const answer = await watched(transport, request);
    if (answer.status === 200 && typeof answer.body === 'string') return answer.body;
    throw loginFault(transport.url, username, answer);
  }
}

/** HTTP status of the request that needs no session. @throws NoAnswer */
async function presence(transport: Transport): Promise<number> {
  const auth = NO_CREDENTIALS;
  const request = { method: 'GET', path: '/version', auth, timeoutMs: HEALTH_MS } as const;
  return (await transport.send(request)).status;
}

/**
 * Sends a request that may rightly take long, as unmapping does, and gives it up as soon as the gateway does not answer
 * other requests either: it hangs, or its host does.
 */
async function watched(transport: Transport, request: HttpRequest): Promise<Answer> {
  const abandon = new AbortController();
  const watch = setInterval(() => {
    presence(transport).catch((error: unknown) => {
      abandon.abort(error instanceof Error ? error.message : String(error));
    });
  }, WATCH_MS);
  try {
    return await transport.send({ ...request, signal: abandon.signal });
  } finally {
    clearInterval(watch);
  }
}

function loginFault(url: string, username: string, { status, body }: Answer): Error {
  if (status === 401 || status === 403)
    return new BridgeError('unavailable', `${url} refuses the user "${username}" or its password`);
  return new NoAnswer(`${url}: login answered ${status}: ${refusalIn(body).message}`);
}

function refusalIn(body: unknown): { readonly errorCode: number; readonly message: string } {
  const { errorCode, message } = (
    typeof body === 'object' && body !== null ? body : {}
  ) as Readonly<Record<string, unknown>>;
  return {
    errorCode: typeof errorCode === 'number' ? errorCode : -1,
    message: typeof message === 'string' ? message.slice(0, 300) : 'not an answer of a gateway',
  };
}
