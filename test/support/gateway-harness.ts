// A gateway over HTTPS on a loopback port with a cluster in memory, and a client that trusts its authority.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import axios from 'axios';
import type { AxiosInstance, AxiosRequestConfig } from 'axios';

import { gatewayApp } from '../../backend/gateway/app.js';
import { startServer } from '../../backend/gateway/server.js';
import type { RunningServer, ServerOptions } from '../../backend/gateway/server.js';
import { serverTls } from '../../backend/runtime/tls-store.js';

import { MemoryCluster } from './memory-cluster.js';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly json: unknown;
}

export interface LogLine {
  readonly level: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

export class GatewayHarness {
  readonly cluster: MemoryCluster;
  readonly log: LogLine[] = [];
  readonly ca: string;
  readonly port: number;
  /** Added to the wall clock of the gateway. */
  clockAheadMs = 0;
  /** Wall clock of the gateway without what is added, where it stands still. */
  stoppedAtMs: number | null = null;
  private readonly server: RunningServer;
  private readonly directory: string;
  private readonly client: AxiosInstance;
  private token = '';

  private constructor(
    cluster: MemoryCluster,
    server: RunningServer,
    directory: string,
    ca: string,
  ) {
    this.cluster = cluster;
    this.server = server;
    this.directory = directory;
    this.ca = ca;
    this.port = server.addresses[0]?.port ?? 0;
    this.client = axios.create({
      baseURL: `https://127.0.0.1:${this.port}`,
      httpsAgent: new Agent({ ca, keepAlive: true }),
      proxy: false,
      responseType: 'text',
      transformRequest: (data: unknown, headers) => {
        if (typeof data === 'string') return data;
        headers.setContentType('application/json');
        return JSON.stringify(data);
      },
      transformResponse: (text: unknown) => text,
      validateStatus: () => true,
      maxBodyLength: Infinity,
    });
  }

  /** @param secret - of the system; give two gateways the same one to make them siblings */
  static async start(
    cluster?: MemoryCluster,
    secret: Uint8Array = new Uint8Array(32).fill(7),
    limits: Pick<ServerOptions, 'connectionsMax'> = {},
  ): Promise<GatewayHarness> {
    const directory = await mkdtemp(join(tmpdir(), 'meshsan-gateway-'));
    const used = cluster ?? (await MemoryCluster.make());
    const holder: { harness: GatewayHarness | null; early: LogLine[] } = {
      harness: null,
      early: [],
    };
    const log = {
      event: (level: string, name: string, fields: LogLine['fields']): void => {
        (holder.harness?.log ?? holder.early).push({ level, name, fields });
      },
    };
    const app = gatewayApp({
      cluster: used,
      secret,
      apiVersion: '3.5',
      log,
      nowMs: () =>
        (holder.harness?.stoppedAtMs ?? Date.now()) + (holder.harness?.clockAheadMs ?? 0),
    });
    const server = await startServer({
      app,
      listen: [{ host: '127.0.0.1', port: 0 }],
      tls: () => serverTls(directory, ['127.0.0.1', 'localhost'], 'test', Date.now()),
      log,
      ...limits,
    });
    const ca = await readFile(join(directory, 'ca.pem'), 'utf8');
    holder.harness = new GatewayHarness(used, server, directory, ca);
    return holder.harness;
  }

  async stop(): Promise<void> {
    await this.server.close();
    await rm(this.directory, { recursive: true });
  }

  async send(
    method: 'GET' | 'HEAD' | 'POST',
    path: string,
    config: AxiosRequestConfig = {},
  ): Promise<Answer> {
    const response = await this.client.request<string>({ method, url: path, ...config });
    const text = response.data;
    let json: unknown = undefined;
    // Metrics are the only answer that is not JSON.
    const isPlain = String(response.headers['content-type']).startsWith('text/plain');
    if (text !== '' && !isPlain) json = JSON.parse(text) as unknown;
    return {
      status: response.status,
      headers: Object.fromEntries(Object.entries(response.headers)),
      text,
      json,
    };
  }

  /** A fresh token. */
  async login(user = 'admin', password = 'Correct-1'): Promise<string> {
    const { json } = await this.send('GET', '/api/login', { auth: { username: user, password } });
    return String(json);
  }

  /** As a client that is logged in; logs in first where needed. */
  async call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer> {
    if (this.token === '') this.token = await this.login();
    return this.send(method, path, {
      auth: { username: '', password: this.token },
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { data: JSON.stringify(body) }),
    });
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path);
  }

  post(path: string, body: unknown = {}): Promise<Answer> {
    return this.call('POST', path, body);
  }
}

/** A value of JSON, one key or index after the other. */
export function at(json: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null
        ? (value as Readonly<Record<string | number, unknown>>)[key]
        : undefined,
    json,
  );
}
