// The express application of the bridge. It owns the order of steps that every request goes through: size, signature,
// JSON, schema, operation, proof. No secret and no body reaches the log.

import { Ajv } from 'ajv';
import type { ErrorObject, ValidateFunction } from 'ajv';
import express from 'express';
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express';

import type { Log } from '../backend/core/ports.js';
import { describeFault } from '../backend/runtime/config-file.js';

import { apiDocument } from './api-document.js';
import { PROOF_HEADER } from './authentication.js';
import type { Authentication } from './authentication.js';
import { BridgeError } from './bridge-error.js';
import type { Bridge } from './bridge.js';
import { GatewayRefusal } from './gateway/client.js';
import { OPERATIONS } from './operations.js';
import type { Operation } from './operations.js';
import { ANSWERS, NO_BODY } from './schemas.js';

export interface AppOptions {
  readonly bridge: Bridge;
  readonly authentication: Authentication;
  readonly log: Log;
  readonly version: string;
  /** Wall clock in milliseconds. */
  readonly nowMs: () => number;
}

const BODY_BYTES_MAX = 1024 * 1024;

const ajv = new Ajv({ verbose: true, allErrors: false });

/** Reads a body of any media type as bytes. */
const readBytes: RequestHandler = express.raw({ limit: BODY_BYTES_MAX, type: () => true });

function bytesOf(request: Request, response: Response): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    readBytes(request, response, (error?: unknown) => {
      if (error === undefined) {
        const body: unknown = request.body;
        resolve(Buffer.isBuffer(body) ? body : Buffer.alloc(0));
        return;
      }
      const { status } = error as { status?: number };
      if (status === 413)
        reject(new BridgeError('tooLarge', `the body must have at most ${BODY_BYTES_MAX} bytes`));
      else reject(new BridgeError('invalid', 'the body cannot be read'));
    });
  });
}

function parsed(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw new BridgeError('invalid', 'the body is not well-formed JSON', error);
  }
}

function faultText(what: string, errors: readonly ErrorObject[] | null | undefined): string {
  const [first] = errors ?? [];
  if (first === undefined) return `${what} is wrong`;
  return describeFault(first).replaceAll('the file', what);
}

/** A row with its checks compiled. */
class Prepared {
  readonly operation: Operation;
  private readonly params: ValidateFunction;
  private readonly body: ValidateFunction;

  constructor(operation: Operation) {
    this.operation = operation;
    this.params = ajv.compile({
      type: 'object',
      properties: operation.params,
      required: Object.keys(operation.params),
    });
    this.body = ajv.compile(operation.body);
  }

  /** @throws BridgeError invalid, with the place and what would be right */
  check(params: unknown, body: unknown): void {
    if (!this.params(params))
      throw new BridgeError('invalid', faultText('the path', this.params.errors));
    if (!this.body(body)) throw new BridgeError('invalid', faultText('the body', this.body.errors));
  }
}

/** Any failure as one that the driver knows. */
function toBridgeError(error: unknown): BridgeError {
  if (error instanceof BridgeError) return error;
  if (error instanceof GatewayRefusal)
    return new BridgeError('refused', `${error.message} (error ${error.errorCode})`, error);
  return new BridgeError('internal', 'internal error of the bridge', error);
}

class Application {
  private readonly options: AppOptions;

  constructor(options: AppOptions) {
    this.options = options;
  }

  async answer(prepared: Prepared, request: Request, response: Response): Promise<void> {
    const { operation } = prepared;
    const { bridge, nowMs } = this.options;
    let nonce: string | null = null;
    try {
      const body = await bytesOf(request, response);
      const { method, originalUrl: path } = request;
      const { authorization } = request.headers;
      nonce = this.options.authentication.accept(authorization, { method, path, body });
      if (nonce === null && operation.open !== true)
        throw new BridgeError('unauthorized', 'the request is not signed with the token of here');
      const content = parsed(body);
      const params = request.params as Readonly<Record<string, string>>;
      prepared.check(params, content);
      const result = await operation.handle({ bridge, params, body: content, nowMs: nowMs() });
      this.send(response, nonce, 200, result);
    } catch (error) {
      const shown = toBridgeError(error);
      this.note(operation, error, shown);
      const { code, message } = shown;
      this.send(response, nonce, shown.httpStatus, { error: { code, message } });
    }
  }

  send(response: Response, nonce: string | null, status: number, value: object): void {
    const bytes = Buffer.from(JSON.stringify(value));
    if (nonce !== null)
      response.set(PROOF_HEADER, this.options.authentication.prove(nonce, status, bytes));
    // An unread rest of a refused body must not be taken for the next request.
    if (status === 413) response.set('Connection', 'close');
    response.status(status).type('application/json').send(bytes);
  }

  private note({ operationId }: Operation, error: unknown, shown: BridgeError): void {
    const fields = { operationId, code: shown.code, reason: shown.message };
    if (shown.code !== 'internal') {
      const isOurs = shown.code === 'unavailable' || shown.code === 'unauthorized';
      this.options.log.event(isOurs ? 'warn' : 'info', 'bridge.refused', fields);
      return;
    }
    const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.options.log.event('error', 'bridge.failed', { ...fields, cause });
  }
}

/** The application; hand it to an HTTP server on a unix socket or on loopback. */
export function bridgeApp(options: AppOptions): Express {
  const application = new Application(options);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  const document: Operation = {
    operationId: 'document',
    method: 'get',
    path: '/v1/openapi.json',
    summary: 'This document.',
    ...{ open: true, params: {}, body: NO_BODY, answer: ANSWERS.document, errors: [] },
    handle: () => Promise.resolve(apiDocument(operations, options.version)),
  };
  const operations: readonly Operation[] = [...OPERATIONS, document];
  for (const operation of operations) {
    const prepared = new Prepared(operation);
    const path = operation.path.replaceAll(/\{(\w+)\}/g, ':$1');
    app[operation.method](path, (request: Request, response: Response, next: NextFunction) => {
      application.answer(prepared, request, response).catch(next);
    });
  }
  app.use((_: Request, response: Response) => {
    const error = { code: 'notFound', message: 'there is no such operation' };
    application.send(response, null, 404, { error });
  });
  app.use((error: unknown, _: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    // A path that is not well encoded never reaches an operation.
    const shown = { code: 'invalid', message: 'the path cannot be read' };
    application.send(response, null, 400, { error: shown });
  });
  return app;
}
