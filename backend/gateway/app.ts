// The express application. It owns the order of steps that every request goes through: headers, path, session, body,
// handler, answer. Answers are always JSON; success is always 200. No secret and no body reaches the log.

import { isUtf8 } from 'node:buffer';
import express from 'express';
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express';

import type { Log } from '../core/ports.js';
import { formatId } from '../core/ids.js';
import type { System } from '../protocol/generated/types.js';
import { ClusterError } from '../runtime/cluster.js';
import type { Cluster } from '../runtime/cluster.js';

import { ApiError, toApiError } from './api-error.js';
import { BodyChecker, withoutNulls } from './body.js';
import { dashboardFiles } from './dashboard/files.js';
import { MetricsPage } from './metrics/page.js';
import { Reader } from './reader.js';
import { RouteTable, decodeOnce } from './route.js';
import type { Body, Match } from './route.js';
import { ROUTES } from './routes.js';
import { Sessions, basicCredentials } from './sessions.js';
import { TokenBook } from './tokens.js';
import type { TokenClaims } from './tokens.js';

const BODY_BYTES_MAX = 1024 * 1024;
const PATH_CHARS_MAX = 4096;
const SLOW_MS = 5_000;

export interface GatewayOptions {
  readonly cluster: Cluster;
  /** Of the system; tokens are signed under a key derived from it. */
  readonly secret: Uint8Array;
  /** What `/api/version` says. */
  readonly apiVersion: string;
  readonly log: Log;
  /** Wall clock in milliseconds. */
  readonly nowMs: () => number;
}

const SECURITY_HEADERS: readonly (readonly [string, string])[] = [
  ['Strict-Transport-Security', 'max-age=31536000'],
  ['X-Content-Type-Options', 'nosniff'],
  ['X-Frame-Options', 'DENY'],
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
  ['Referrer-Policy', 'no-referrer'],
  ['Cache-Control', 'no-store'],
];

/** Reads the body of a request as JSON whatever its media type says. */
const parseJson: RequestHandler = express.json({
  limit: BODY_BYTES_MAX,
  type: () => true,
  strict: false,
  // Bytes that are no text would become names that nobody wrote.
  verify: (_request, _response, bytes, charset) => {
    if (charset === 'utf-8' && !isUtf8(bytes)) throw new Error('no UTF-8');
  },
});

async function bodyOf(request: Request, response: Response): Promise<Body> {
  const body = withoutNulls(await jsonOf(request, response));
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Body;
  throw ApiError.invalid('the body must be a JSON object');
}

/** Nothing is done with the body in the parser's callback: what fails there has no caller, and ends the process. */
function jsonOf(request: Request, response: Response): Promise<unknown> {
  return new Promise((resolve, reject) => {
    parseJson(request, response, (error?: unknown) => {
      if (error === undefined) resolve(request.body ?? {});
      else reject(bodyFault(error));
    });
  });
}

/** What is wrong with a body, by the words of the parser. */
const BODY_FAULTS: ReadonlyMap<string, string> = new Map([
  ['entity.parse.failed', 'the body is not well-formed JSON'],
  ['entity.verify.failed', 'the body is not UTF-8'],
  ['charset.unsupported', 'the charset of Content-Type must be UTF-8'],
  ['encoding.unsupported', 'Content-Encoding must be gzip, deflate, br or none'],
]);

function bodyFault(error: unknown): ApiError {
  const { status, type } = error as { status?: number; type?: string };
  if (status === 413)
    return new ApiError(413, 0, `The request body must have at most ${BODY_BYTES_MAX} bytes`);
  return ApiError.invalid(BODY_FAULTS.get(type ?? '') ?? 'the body cannot be read');
}

class Gateway {
  private readonly options: GatewayOptions;
  private readonly sessions: Sessions;
  private readonly table = new RouteTable(ROUTES);
  private readonly checker = new BodyChecker();
  private readonly metricsPage = new MetricsPage();

  constructor(options: GatewayOptions) {
    this.options = options;
    this.sessions = new Sessions(options.cluster, new TokenBook(options.secret), options.log);
  }

  /** Answers one request. */
  async answer(request: Request, response: Response): Promise<void> {
    const path = request.path;
    if (path.length > PATH_CHARS_MAX) throw new ApiError(414, 0, 'The path is too long');
    const plain = path.replace(/\/+$/, '');
    // The server leaves the body out by itself.
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const special = SPECIAL.get(`${method} ${plain}`);
    if (special !== undefined) {
      await special(this, request, response);
      return;
    }
    const match = this.match(method, path);
    const system = await this.system();
    const session = await this.session(request, system);
    const body = request.method === 'POST' ? await bodyOf(request, response) : {};
    this.checker.check(match.route.schema, body);
    const { cluster } = this.options;
    const reader = new Reader(cluster, system, interfaceVersion(request.headers.accept));
    const nowMs = this.options.nowMs();
    send(
      response,
      await match.route.handle({ params: match.params, body, cluster, reader, session, nowMs }),
    );
  }

  async login(request: Request, response: Response): Promise<void> {
    const credentials = basicCredentials(request.headers.authorization);
    send(response, await this.token(credentials, request));
  }

  /** The login of 4.x clients: name and password in the body, two tokens in the answer. */
  async loginByBody(request: Request, response: Response): Promise<void> {
    const { username, password } = await bodyOf(request, response);
    if (typeof username !== 'string' || typeof password !== 'string')
      throw ApiError.invalid(
        'The following parameter(s) must be part of the request body: username, password.',
      );
    const token = await this.token({ user: username, password }, request);
    send(response, { access_token: token, refresh_token: token, token_type: 'Bearer' });
  }

  async logout(request: Request, response: Response, status: 200 | 204): Promise<void> {
    this.sessions.logout(await this.session(request, await this.system()), this.options.nowMs());
    if (status === 204) response.status(204).end();
    else send(response, {});
  }

  version(response: Response): void {
    send(response, this.options.apiVersion);
  }

  /** What Prometheus reads. */
  async metrics(request: Request, response: Response): Promise<void> {
    const system = await this.system();
    const place = request.socket.remoteAddress ?? '';
    const { authorization } = request.headers;
    await this.sessions.visit(authorization, place, idOf(system), this.options.nowMs);
    const reader = new Reader(this.options.cluster, system);
    const page = await this.metricsPage.render(reader, this.options.nowMs());
    response.status(200).type(page.contentType).send(page.text);
  }

  /** Whether requests can be answered here: asks the MDM, so that a balancer sends them to another gateway if not. */
  async ready(response: Response): Promise<void> {
    await this.system();
    send(response, { status: 'ready' });
  }

  private async token(
    credentials: { readonly user: string; readonly password: string } | null,
    request: Request,
  ): Promise<string> {
    const system = await this.system();
    const place = request.socket.remoteAddress ?? '';
    return this.sessions.login(credentials, place, idOf(system), this.options.nowMs);
  }

  private session(request: Request, system: System): Promise<TokenClaims> {
    const { authorization } = request.headers;
    return this.sessions.session(authorization, idOf(system), this.options.nowMs());
  }

  private match(method: string, path: string): Match {
    const match = this.table.find(method, path) ?? this.table.find(method, decodeOnce(path));
    if (match !== null) return match;
    if (this.table.knowsPath(path))
      throw new ApiError(405, 0, `${method} is not allowed on this path`);
    throw new ApiError(404, 0, 'There is no such path, type or action');
  }

  private async system(): Promise<System> {
    const [system] = await this.options.cluster.query('system');
    if (system === undefined) throw ClusterError.named('INTERNAL');
    return system;
  }
}

type Special = (gateway: Gateway, request: Request, response: Response) => Promise<void> | void;

/** What works without a session, or makes and ends one. */
const SPECIAL: ReadonlyMap<string, Special> = new Map<string, Special>([
  ['GET /api/login', (gateway, request, response) => gateway.login(request, response)],
  ['GET /api/logout', (gateway, request, response) => gateway.logout(request, response, 200)],
  [
    'GET /api/version',
    (gateway, _, response) => {
      gateway.version(response);
    },
  ],
  ['GET /metrics', (gateway, request, response) => gateway.metrics(request, response)],
  ['GET /health/ready', (gateway, _, response) => gateway.ready(response)],
  [
    'GET /health/live',
    (_gateway, _request, response) => {
      send(response, { status: 'live' });
    },
  ],
  ['POST /rest/auth/login', (gateway, request, response) => gateway.loginByBody(request, response)],
  [
    'POST /rest/auth/logout',
    (gateway, request, response) => gateway.logout(request, response, 204),
  ],
]);

/** The version in `application/json; version=2.0`, in which some clients ask for older answers; null without one. */
function interfaceVersion(accept: string | undefined): number | null {
  const version = /;\s*version=(\d{1,3}(?:\.\d{1,3})?)/.exec(accept ?? '')?.[1];
  return version === undefined ? null : Number(version);
}

function idOf(system: System): string {
  return formatId(system.idPrefix, system.key);
}

function send(response: Response, value: unknown): void {
  response.status(200).type('application/json').send(JSON.stringify(value));
}

function refuse(response: Response, error: ApiError): void {
  if (error.httpStatus === 401) response.set('WWW-Authenticate', 'Basic realm="MeshSAN"');
  if (error.httpStatus === 503) response.set('Retry-After', '1');
  // An unread rest of a refused body must not be taken for the next request.
  if (error.httpStatus === 413) response.set('Connection', 'close');
  response.status(error.httpStatus).type('application/json').send(JSON.stringify(error.body()));
}

function logFailure(log: Log, request: Request, error: unknown, shown: ApiError): void {
  const fields = {
    method: request.method,
    path: request.path.slice(0, 256),
    status: shown.httpStatus,
  };
  if (error instanceof ApiError || error instanceof ClusterError)
    // Some clients try an old or no token first, with every operation.
    log.event(shown.httpStatus === 401 ? 'debug' : 'info', 'gateway.refused', {
      ...fields,
      code: shown.errorCode,
      reason: shown.message,
    });
  else
    log.event('error', 'gateway.failed', {
      ...fields,
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
}

/** The application; hand it to an HTTPS server. */
export function gatewayApp(options: GatewayOptions): Express {
  const gateway = new Gateway(options);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use((request: Request, response: Response, next: NextFunction) => {
    for (const [name, value] of SECURITY_HEADERS) response.set(name, value);
    const startedMs = options.nowMs();
    response.on('finish', () => {
      const tookMs = options.nowMs() - startedMs;
      const { method, path } = request;
      if (tookMs > SLOW_MS)
        options.log.event('warn', 'gateway.slow', { method, path: path.slice(0, 256), tookMs });
    });
    next();
  });
  app.use('/dashboard', dashboardFiles());
  app.get('/', (_request: Request, response: Response) => {
    response.redirect(302, '/dashboard/');
  });
  app.use((request: Request, response: Response, next: NextFunction) => {
    gateway.answer(request, response).catch(next);
  });
  app.use((error: unknown, request: Request, response: Response, next: NextFunction) => {
    const shown = toApiError(error);
    logFailure(options.log, request, error, shown);
    if (response.headersSent) next(error);
    else refuse(response, shown);
  });
  return app;
}
