// Asks the agent of a node, over a connection in which both ends prove that they know the token. It owns the bounds on
// answers and the words in which a node that cannot be asked is named; it must never log a token.

import { createReadStream, statSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import type { Agent } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { Ajv } from 'ajv';
import type { ValidateFunction } from 'ajv';
import { MIB } from '../../core/units.js';
import { JOB_SCHEMA, KEPT_SCHEMA, REPORT_SCHEMA } from '../../protocol/lia.js';
import type { Job, JobRequest, KeptPackage, NodeReport } from '../../protocol/lia.js';
import { clientAgent } from './pre-shared-tls.js';

export const SIGNATURE_HEADER = 'meshsan-signature';
const ANSWER_BYTES_MAX = 8 * MIB;
const ANSWER_MS = 60_000;
const UPLOAD_MS = 900_000;
/** Of an answer that is none of success. */
const STATUS_REFUSED_MIN = 300;

const ajv = new Ajv({ discriminator: true, allowUnionTypes: true });
const isReport = ajv.compile<NodeReport>(REPORT_SCHEMA);
const isJob = ajv.compile<Job>(JOB_SCHEMA);
const isJobs = ajv.compile<Job[]>({ type: 'array', items: JOB_SCHEMA });
const isKept = ajv.compile<KeptPackage>(KEPT_SCHEMA);
const isRefusal = ajv.compile<{ error: string; message: string }>({
  type: 'object',
  properties: { error: { type: 'string' }, message: { type: 'string' } },
  required: ['error', 'message'],
});

/** A node that could not be asked, or refused; the message names it. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  /** Row of the error table; null: there was no answer. */
  readonly error: string | null;

  constructor(message: string, error: string | null) {
    super(message);
    this.error = error;
  }
}

interface Call {
  readonly method: 'GET' | 'PUT';
  readonly path: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly timeoutMs?: number;
  /** A text, or a file that is sent when the node says that it wants it. */
  readonly body?: { readonly text: string } | { readonly file: string };
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  EPROTO: 'it does not know the same token, or is no agent of ours',
  ECONNRESET: 'it closed the connection: it does not know the same token, or is no agent of ours',
};

async function textOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('its answer is too long');
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString('utf8');
}

export class LiaClient {
  readonly host: string;
  readonly port: number;
  readonly #agent: Agent;
  readonly #answerMs: number;

  /**
   * @param token - 32 bytes
   * @param answerMs - how long an answer may take
   */
  constructor(host: string, port: number, token: Uint8Array, answerMs = ANSWER_MS) {
    this.host = host;
    this.port = port;
    this.#answerMs = answerMs;
    this.#agent = clientAgent(token);
  }

  close(): void {
    this.#agent.destroy();
  }

  async report(): Promise<NodeReport> {
    return this.#json({ method: 'GET', path: '/report' }, isReport);
  }

  async jobs(): Promise<Job[]> {
    return this.#json({ method: 'GET', path: '/jobs' }, isJobs);
  }

  async job(id: string): Promise<Job> {
    return this.#json({ method: 'GET', path: `/jobs/${id}` }, isJob);
  }

  /** The same request under the same id twice is one job. */
  async submit(id: string, wanted: JobRequest): Promise<Job> {
    const body = { text: JSON.stringify(wanted) };
    return this.#json({ method: 'PUT', path: `/jobs/${id}`, body }, isJob);
  }

  /** Hands a package file over, unless the node has it. */
  async bring(file: string, sha256: string, signature: string): Promise<KeptPackage> {
    const path = `/packages/${sha256}`;
    try {
      return await this.#json({ method: 'GET', path }, isKept);
    } catch (error) {
      if (!(error instanceof AgentError) || error.error === null) throw error;
    }
    const headers = {
      [SIGNATURE_HEADER]: signature,
      'content-length': statSync(file).size,
      expect: '100-continue',
    };
    const call = { method: 'PUT', path, headers, timeoutMs: UPLOAD_MS, body: { file } } as const;
    return this.#json(call, isKept);
  }

  /** Writes the support bundle to a stream. */
  async info(target: NodeJS.WritableStream): Promise<void> {
    const response = await this.#call({ method: 'GET', path: '/info', timeoutMs: UPLOAD_MS });
    await pipeline(response, target);
  }

  async #json<T>(call: Call, isRight: ValidateFunction<T>): Promise<T> {
    const response = await this.#call(call);
    const value = await this.#valueOf(response);
    if (isRight(value)) return value;
    throw new AgentError(
      `${this.host}: its answer makes no sense: ${ajv.errorsText(isRight.errors)}`,
      null,
    );
  }

  /** The answer to a call that was not refused. */
  async #call(call: Call): Promise<IncomingMessage> {
    const response = await this.#send(call);
    if ((response.statusCode ?? 0) < STATUS_REFUSED_MIN) return response;
    const value = await this.#valueOf(response);
    if (isRefusal(value)) throw new AgentError(`${this.host}: ${value.message}`, value.error);
    throw new AgentError(`${this.host}: answer ${response.statusCode}`, null);
  }

  async #valueOf(response: IncomingMessage): Promise<unknown> {
    try {
      return JSON.parse(await textOf(response)) as unknown;
    } catch (error) {
      const { statusCode } = response;
      const reason = (error as Error).message;
      throw new AgentError(`${this.host}: answer ${statusCode} cannot be read: ${reason}`, null);
    }
  }

  #send({
    method,
    path,
    headers = {},
    timeoutMs = this.#answerMs,
    body,
  }: Call): Promise<IncomingMessage> {
    return new Promise((done, failed) => {
      const { host, port } = this;
      const options = { host, port, method, agent: this.#agent, path: `/api/v1${path}`, headers };
      const asked = request({ ...options, timeout: timeoutMs }, done);
      asked.once('timeout', () => asked.destroy(new Error(`no answer in ${timeoutMs / 1000} s`)));
      asked.once('error', (error: NodeJS.ErrnoException) => {
        const reason = WORDS[error.code ?? ''] ?? error.message;
        failed(new AgentError(`${host}:${port} cannot be asked: ${reason}`, null));
      });
      if (body === undefined) asked.end();
      else if ('text' in body) asked.end(body.text);
      else {
        asked.once('continue', () => {
          // A failure of either side is one of the request.
          pipeline(createReadStream(body.file), asked).catch((error: unknown) => {
            asked.destroy(error instanceof Error ? error : new Error(String(error)));
          });
        });
        asked.flushHeaders();
      }
    });
  }
}
