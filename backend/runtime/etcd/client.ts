// Requests to an etcd cluster over the JSON form of its v3 interface, which every member serves on its client port. It owns
// connections, timeouts, the choice of the member and the reading of answers; it must never repeat a request: whether that
// is harmless only the asker knows.
//
// No client library: what is needed are four requests with one JSON body each, and the order in which members are tried,
// what counts as an unknown outcome and every limit belong to the promise of the metadata store.

import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';

import type { Log } from '../../core/ports.js';

/** Where a member serves clients. */
export interface EtcdEndpoint {
  readonly host: string;
  readonly port: number;
}

/** All in PEM. Both ends prove who they are. */
export interface EtcdTls {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export interface EtcdClientOptions {
  readonly endpoints: readonly EtcdEndpoint[];
  /** Asked for each request, so that renewed certificates are used. */
  readonly tls: () => EtcdTls;
  readonly log: Log;
}

/**
 * full: etcd says that its space is used up. refused: the request itself is at fault. unavailable: no answer, or none that
 * says whether the request was done.
 */
export type EtcdFailure = 'full' | 'refused' | 'unavailable';

export class EtcdError extends Error {
  override readonly name = 'EtcdError';
  readonly failure: EtcdFailure;

  constructor(failure: EtcdFailure, message: string) {
    super(message);
    this.failure = failure;
  }
}

/** What an answer is read as. */
export type Json = Readonly<Record<string, unknown>>;

const RESPONSE_BYTES_MAX = 64 * 1024 * 1024;
const SOCKETS_MAX = 8;
/** Codes of gRPC that say: not done, and never will be. */
const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const SPACE_EXCEEDED = 'space exceeded';

/** An object, or an empty one. */
export function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** Numbers of 64 bits come as text; one that is 0 is left out. */
export function numberOf(value: unknown): number {
  const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : 0;
  if (!Number.isSafeInteger(number)) throw new EtcdError('unavailable', 'etcd sent a bad number');
  return number;
}

export class EtcdClient {
  private readonly options: EtcdClientOptions;
  private readonly agent: Agent;
  private readonly open = new Set<ClientRequest>();
  private endpoints: readonly EtcdEndpoint[];
  private current = 0;
  private clusterId = '';
  private isUp = true;
  private closed = false;

  constructor(options: EtcdClientOptions) {
    this.options = options;
    this.endpoints = options.endpoints;
    this.agent = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX });
  }

  /**
   * Asks one member once. After a failure the next request goes to the next member.
   *
   * @param path - below `/v3/`, such as `kv/range`
   * @throws EtcdError
   */
  async ask(path: string, body: Json, timeoutMs: number): Promise<Json> {
    const { endpoints } = this;
    const endpoint = endpoints[this.current % endpoints.length];
    if (endpoint === undefined || this.closed)
      throw new EtcdError('unavailable', 'no member of etcd to ask');
    try {
      const answer = await this.exchange(endpoint, path, JSON.stringify(body), timeoutMs);
      this.checkCluster(answer, endpoint);
      this.noteUp();
      return answer;
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error.failure === 'unavailable') {
        this.current = (this.current + 1) % endpoints.length;
        this.noteDown(error.message);
      }
      throw error;
    }
  }

  /** Asks these from now on. */
  reach(endpoints: readonly EtcdEndpoint[]): void {
    if (endpoints.length > 0) this.endpoints = endpoints;
  }

  /** Ends all connections; what is under way fails. */
  close(): void {
    this.closed = true;
    for (const request of this.open) request.destroy();
    this.agent.destroy();
  }

  private exchange(
    { host, port }: EtcdEndpoint,
    path: string,
    body: string,
    timeoutMs: number,
  ): Promise<Json> {
    const place = `etcd at ${host}:${port}`;
    const options = {
      ...{ host, port, path: `/v3/${path}`, method: 'POST', agent: this.agent },
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    };
    return new Promise<Json>((resolve, reject) => {
      const failed = (reason: string): void => {
        reject(new EtcdError('unavailable', `${place}: ${reason}`));
      };
      const answered = (response: IncomingMessage): void => {
        readAll(response, failed, (text) => {
          try {
            resolve(parseAnswer(place, response.statusCode ?? 0, text));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      };
      const { authority, certificate, key } = this.options.tls();
      const request = httpsRequest(
        { ...options, ca: authority, cert: certificate, key, minVersion: 'TLSv1.2' },
        answered,
      );
      this.open.add(request);
      const timer = setTimeout(() => {
        request.destroy(new Error(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      request.on('error', (error) => {
        failed(error.message);
      });
      request.on('close', () => {
        clearTimeout(timer);
        this.open.delete(request);
        failed('the connection ended before the answer');
      });
      request.end(body);
    });
  }

  /** Members of two clusters in one list would make two stores of one. */
  private checkCluster(answer: Json, { host, port }: EtcdEndpoint): void {
    const id = objectOf(answer['header'])['cluster_id'];
    if (typeof id !== 'string') return;
    if (this.clusterId === '') this.clusterId = id;
    if (id === this.clusterId) return;
    throw new EtcdError(
      'unavailable',
      `etcd at ${host}:${port} belongs to another etcd cluster than the members asked before`,
    );
  }

  private noteUp(): void {
    if (this.isUp) return;
    this.isUp = true;
    this.options.log.event('info', 'metadata-store.reachable', {});
  }

  private noteDown(reason: string): void {
    if (!this.isUp || this.closed) return;
    this.isUp = false;
    this.options.log.event('warn', 'metadata-store.unreachable', { reason });
  }
}

function readAll(
  response: IncomingMessage,
  failed: (reason: string) => void,
  done: (text: string) => void,
): void {
  const parts: Buffer[] = [];
  let bytes = 0;
  response.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > RESPONSE_BYTES_MAX) response.destroy(new Error('the answer is too large'));
    else parts.push(part);
  });
  response.on('error', (error) => {
    failed(error.message);
  });
  response.on('end', () => {
    done(Buffer.concat(parts).toString('utf8'));
  });
}

/** @throws EtcdError */
function parseAnswer(place: string, status: number, text: string): Json {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new EtcdError(
      'unavailable',
      `${place}: answered ${status} with something else than JSON`,
    );
  }
  const answer = objectOf(parsed);
  if (status === 200 && answer['error'] === undefined) return answer;
  const message = typeof answer['error'] === 'string' ? answer['error'] : `status ${status}`;
  const code = answer['code'];
  if (code === RESOURCE_EXHAUSTED && message.includes(SPACE_EXCEEDED))
    throw new EtcdError('full', `${place}: ${message}`);
  const failure = code === INVALID_ARGUMENT ? 'refused' : 'unavailable';
  throw new EtcdError(failure, `${place}: ${message}`);
}
