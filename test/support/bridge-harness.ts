// A bridge on a unix socket, in front of real gateways over a cluster in memory, and a client that signs and checks as the
// driver does.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Ajv } from 'ajv';

import { bridgeApp } from '../../cinder-bridge/app.js';
import { assemble } from '../../cinder-bridge/assembly.js';
import { Authentication, PROOF_HEADER } from '../../cinder-bridge/authentication.js';
import { checkBridgeConfig } from '../../backend/runtime/bridge-config.js';
import { OPERATIONS } from '../../cinder-bridge/operations.js';
import { ERROR_ANSWER } from '../../cinder-bridge/schemas.js';
import { startServer } from '../../cinder-bridge/server.js';
import type { RunningServer } from '../../cinder-bridge/server.js';
import { GatewayHarness } from './gateway-harness.js';
import type { LogLine } from './gateway-harness.js';
import { LossyProxy } from './lossy-proxy.js';
import { MemoryCluster, SDC_GUID } from './memory-cluster.js';

const TOKEN = new Uint8Array(32).fill(5);
export const POOL = { domain: 'pd1', pool: 'pool1' } as const;

export interface BridgeAnswer {
  readonly status: number;
  /** The answer carries the bridge's proof. */
  readonly proved: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

export class BridgeHarness {
  readonly gateways: readonly GatewayHarness[];
  /** In front of the first gateway. */
  readonly proxy: LossyProxy;
  readonly log: LogLine[];
  readonly socket: string;
  private readonly server: RunningServer;
  private readonly directory: string;
  private readonly closeBridge: () => void;
  private readonly authentication = new Authentication(TOKEN, Date.now);

  private constructor(parts: {
    readonly gateways: readonly GatewayHarness[];
    readonly proxy: LossyProxy;
    readonly log: LogLine[];
    readonly socket: string;
    readonly server: RunningServer;
    readonly directory: string;
    readonly closeBridge: () => void;
  }) {
    this.gateways = parts.gateways;
    this.proxy = parts.proxy;
    this.log = parts.log;
    this.socket = parts.socket;
    this.server = parts.server;
    this.directory = parts.directory;
    this.closeBridge = parts.closeBridge;
  }

  /** @param settings - keys of the configuration that differ */
  static async start(settings: Readonly<Record<string, unknown>> = {}): Promise<BridgeHarness> {
    const cluster = await MemoryCluster.make();
    const gateways = [await GatewayHarness.start(cluster), await GatewayHarness.start(cluster)];
    const [first, second] = gateways;
    if (first === undefined || second === undefined) throw new Error('two gateways');
    const proxy = await LossyProxy.start(first.port);
    const directory = mkdtempSync(join(tmpdir(), 'meshsan-bridge-'));
    const file = (name: string, text: string): string => {
      const path = join(directory, name);
      writeFileSync(path, text);
      chmodSync(path, 0o600);
      return path;
    };
    const socket = join(directory, 'bridge.sock');
    const config = checkBridgeConfig('test', {
      gateways: [`https://127.0.0.1:${proxy.port}`, `https://127.0.0.1:${second.port}`],
      // Each of the two has an authority of its own here.
      caFile: file('ca.pem', gateways.map(({ ca }) => ca).join('\n')),
      username: 'admin',
      passwordFile: file('password', 'Correct-1\n'),
      tokenFile: file('token', Buffer.from(TOKEN).toString('hex')),
      listen: { socket },
      requestTimeoutSeconds: 5,
      defaultSdcGuid: SDC_GUID,
      ...settings,
    });
    const lines: LogLine[] = [];
    const log = {
      event: (level: string, name: string, fields: LogLine['fields']): void => {
        lines.push({ level, name, fields });
      },
    };
    const { bridge, close } = assemble(config, log);
    const authentication = Authentication.fromFile(config.tokenFile, Date.now);
    const app = bridgeApp({ bridge, authentication, log, version: 'test', nowMs: Date.now });
    const server = await startServer(app, config.listen);
    const parts = { gateways, proxy, log: lines, socket, server, directory, closeBridge: close };
    return new BridgeHarness(parts);
  }

  get cluster(): MemoryCluster {
    const [first] = this.gateways;
    if (first === undefined) throw new Error('a gateway');
    return first.cluster;
  }

  async stop(): Promise<void> {
    await this.server.close();
    this.closeBridge();
    await this.proxy.stop();
    for (const gateway of this.gateways) await gateway.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /**
   * A signed request, whose answer must be what the API document says.
   *
   * @param body - a text is sent as it is
   */
  async call(method: string, path: string, body?: unknown): Promise<BridgeAnswer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const bytes = Buffer.from(body === undefined ? '' : text);
    const { authorization, nonce } = this.authentication.sign({ method, path, body: bytes });
    const answer = await this.send(method, path, bytes, authorization, nonce);
    checkShape(method, path, answer);
    return answer;
  }

  /** A request with any header. */
  send(
    method: string,
    path: string,
    body: Buffer,
    authorization: string,
    nonce = '',
  ): Promise<BridgeAnswer> {
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          ...{ socketPath: this.socket, method, path },
          headers: { authorization, 'content-length': body.length },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const content = Buffer.concat(chunks);
            const status = response.statusCode ?? 0;
            const proof = String(response.headers[PROOF_HEADER] ?? '');
            resolve({
              status,
              proved: this.authentication.isProof(proof, nonce, status, content),
              body: JSON.parse(content.toString('utf8')) as BridgeAnswer['body'],
            });
          });
        },
      );
      asked.on('error', reject);
      asked.end(body);
    });
  }
}

const ajv = new Ajv();

function checkShape(method: string, path: string, { status, body }: BridgeAnswer): void {
  const operation = OPERATIONS.find(
    (one) =>
      one.method === method.toLowerCase() &&
      new RegExp(`^${one.path.replaceAll(/\\{\\w+\\}/g, '[^/]+')}$`).test(path),
  );
  if (operation === undefined) return;
  const validate = ajv.compile(status === 200 ? operation.answer : ERROR_ANSWER);
  if (!validate(body))
    throw new Error(
      `${method} ${path} answers what its document does not say: ${ajv.errorsText(validate.errors)}`,
    );
}
