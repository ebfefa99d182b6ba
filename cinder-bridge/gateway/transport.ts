// One HTTP request to one gateway: TLS checked against the CA file, a bound on connecting and one on answering. It must
// never decide what a failure means, and never follow a redirect or a proxy.

import { Agent } from 'node:https';
import type { RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';

import axios from 'axios';

/** What a gateway answered. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** No answer came: the request may have been carried out or not. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  readonly auth: { readonly username: string; readonly password: string };
  readonly timeoutMs: number;
  /** Gives the request up. */
  readonly signal?: AbortSignal;
}

const CONNECT_MS = 3000;
const SOCKETS_MAX = 16;
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

type Connected = (error: Error | null, socket: Duplex) => void;

/** A gateway whose host is gone does not refuse, it is silent: connecting has a bound of its own. */
class BoundedAgent extends Agent {
  override createConnection(options: RequestOptions, done?: Connected): Duplex | null | undefined {
    const socket = super.createConnection(options, done);
    if (socket === null || socket === undefined) return socket;
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${CONNECT_MS} ms`));
    }, CONNECT_MS);
    for (const event of ['secureConnect', 'close', 'error'] as const)
      socket.once(event, () => {
        clearTimeout(timer);
      });
    return socket;
  }
}

export class Transport {
  readonly url: string;
  private readonly agent: Agent;

  /** @param ca - certificates of the authority in PEM */
  constructor(url: string, ca: string) {
    this.url = url.replace(/\/+$/, '');
    this.agent = new BoundedAgent({ ca, keepAlive: true, maxSockets: SOCKETS_MAX });
  }

  /** @throws NoAnswer when the gateway cannot be reached or does not answer in time */
  async send({ method, path, body, auth, timeoutMs, signal }: HttpRequest): Promise<Answer> {
    try {
      const { status, data } = await axios.request<unknown>({
        ...{ method, url: `${this.url}/api${path}`, auth, timeout: timeoutMs },
        data: method === 'POST' ? (body ?? {}) : undefined,
        httpsAgent: this.agent,
        ...(signal === undefined ? {} : { signal }),
        proxy: false,
        maxRedirects: 0,
        maxContentLength: ANSWER_BYTES_MAX,
        validateStatus: () => true,
      });
      return { status, body: data };
    } catch (error) {
      if (signal?.aborted === true) throw new NoAnswer(`${this.url}: ${String(signal.reason)}`);
      throw new NoAnswer(`${this.url}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  close(): void {
    this.agent.destroy();
  }
}
