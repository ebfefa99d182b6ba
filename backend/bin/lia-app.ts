// The requests that a node's agent answers, over connections whose other end has proved that it knows the token: report,
// jobs, package files, support bundle. It owns their validation; it must never answer with a secret.

import { pipeline } from 'node:stream/promises';

import { Ajv } from 'ajv';
import express from 'express';
import type { ErrorRequestHandler, Express, Request, RequestHandler, Response } from 'express';

import { VERSION } from '../core/version.js';
import type { Log } from '../core/ports.js';
import { JOB_ID_PATTERN, JOB_REQUEST_SCHEMA, SHA256_PATTERN } from '../protocol/lia.js';
import type { JobRequest, KeptPackage, NodeReport } from '../protocol/lia.js';
import { ERROR_BY_NAME } from '../protocol/generated/errors.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import { errorText } from '../protocol/error-text.js';
import { LIMITS } from '../protocol/tables/limits.js';
import { describeFault } from '../runtime/config-file.js';
import { SIGNATURE_HEADER } from '../runtime/node-agent/client.js';
import { PackageError } from '../runtime/node-agent/package-store.js';
import type { PackageStore } from '../runtime/node-agent/package-store.js';
import type { Jobs } from '../lia/jobs.js';
import type { BundleSource } from './lia-node.js';
import { bundle } from './lia-node.js';

const JOB_ID = new RegExp(JOB_ID_PATTERN);
const SHA256 = new RegExp(SHA256_PATTERN);
const SIGNATURE = /^[A-Za-z0-9+/]{86}==$/;
const HTTP_CREATED = 201;
const HTTP_ACCEPTED = 202;

export interface LiaParts {
  readonly report: () => Promise<NodeReport>;
  readonly jobs: Jobs;
  readonly packages: PackageStore;
  readonly bundle: BundleSource;
  readonly log: Log;
}

/** A request that is refused: a row of the error table, and the details for people. */
class LiaError extends Error {
  override readonly name = 'LiaError';
  readonly status: number;
  readonly error: ErrorName;

  constructor(error: ErrorName, reason: string) {
    const { code, httpStatus } = ERROR_BY_NAME[error];
    super(errorText(code, [{ name: 'reason', value: reason }]));
    this.error = error;
    this.status = httpStatus;
  }
}

const isRequest = new Ajv({
  ...{ discriminator: true, useDefaults: true, allErrors: false, verbose: true },
}).compile<JobRequest>(JOB_REQUEST_SCHEMA);

function jobRequest(body: unknown): JobRequest {
  if (isRequest(body)) return body;
  const [first] = isRequest.errors ?? [];
  const fault = first === undefined ? 'it is wrong' : describeFault(first);
  throw new LiaError('INVALID_PARAMETER', fault.replace('the file', 'the job'));
}

function parameter(request: Request, name: string, form: RegExp, what: string): string {
  const text = String(request.params[name]);
  if (form.test(text)) return text;
  throw new LiaError('INVALID_PARAMETER', `${name} must be ${what}`);
}

const jobId = (request: Request): string =>
  parameter(request, 'id', JOB_ID, 'of letters, digits, dots and dashes, at most 64');
const sha256Of = (request: Request): string =>
  parameter(request, 'sha256', SHA256, 'of 64 lower-case hex digits');

/** A handler whose failure becomes an answer. */
const answering =
  (handle: (request: Request, response: Response) => Promise<void>): RequestHandler =>
  (request, response, next) => {
    handle(request, response).catch(next);
  };

const failures =
  (log: Log): ErrorRequestHandler =>
  (error: unknown, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const known = asLiaError(error);
    if (known.error === 'INTERNAL')
      log.event('error', 'lia.request.failed', { path: request.path, reason: String(error) });
    response.status(known.status).json({ error: known.error, message: known.message });
    // The rest of a body that is refused is not waited for.
    if (!request.complete) response.once('finish', () => request.destroy());
  };

function asLiaError(error: unknown): LiaError {
  if (error instanceof LiaError) return error;
  if (error instanceof PackageError) return new LiaError(error.error, error.message);
  // Of the parser of bodies: too large, or no JSON.
  const status = (error as { status?: unknown }).status;
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new LiaError('INVALID_PARAMETER', (error as Error).message);
  return new LiaError('INTERNAL', '');
}

async function receive(
  packages: PackageStore,
  request: Request,
  response: Response,
): Promise<void> {
  const sha256 = sha256Of(request);
  const signature = request.get(SIGNATURE_HEADER) ?? '';
  if (!SIGNATURE.test(signature))
    throw new LiaError('SIGNATURE_REFUSED', `the header ${SIGNATURE_HEADER} holds no signature`);
  const most = LIMITS.liaPackageBytesMax.value;
  if (Number(request.get('content-length') ?? 0) > most)
    throw new LiaError('PACKAGE_REFUSED', `it has more than ${most} bytes`);
  packages.mustVouch(sha256, signature);
  // Who asked first whether the file is wanted sends it only now.
  if (request.get('expect') !== undefined) response.writeContinue();
  const kept: KeptPackage = await packages.receive(sha256, signature, request);
  response.status(HTTP_CREATED).json(kept);
}

/** All requests of the agent. */
export function liaApp({ report, jobs, packages, bundle: source, log }: LiaParts): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.get('/api/v1/version', (_, response) => {
    response.json({ version: VERSION });
  });
  app.get(
    '/api/v1/report',
    answering(async (_, response) => {
      response.json(await report());
    }),
  );
  app.get('/api/v1/jobs', (_, response) => {
    response.json(jobs.list());
  });
  app.get('/api/v1/jobs/:id', (request, response) => {
    const job = jobs.get(jobId(request));
    if (job === null) throw new LiaError('NOT_FOUND', '');
    response.json(job);
  });
  const json = express.json({ limit: LIMITS.liaRequestBytesMax.value, type: () => true });
  app.put('/api/v1/jobs/:id', json, (request, response) => {
    const taken = jobs.submit(Date.now(), jobId(request), jobRequest(request.body));
    if ('error' in taken) throw new LiaError(taken.error, taken.reason);
    response.status(HTTP_ACCEPTED).json(taken);
  });
  app.get(
    '/api/v1/packages/:sha256',
    answering(async (request, response) => {
      const sha256 = sha256Of(request);
      if (!packages.has(sha256)) throw new LiaError('NOT_FOUND', '');
      response.json(await packages.verified(sha256));
    }),
  );
  app.put(
    '/api/v1/packages/:sha256',
    answering((request, response) => receive(packages, request, response)),
  );
  app.get(
    '/api/v1/info',
    answering(async (_, response) => {
      response.type('application/gzip');
      await pipeline(bundle(source), response);
    }),
  );
  app.use(() => {
    throw new LiaError('NOT_FOUND', '');
  });
  app.use(failures(log));
  return app;
}
