// Rows of the route table and how a request finds its row. It owns the grammar of path patterns; it must never know
// what a route does.

import type { SchemaObject } from 'ajv';

import type { Cluster } from '../runtime/cluster.js';

import type { Reader } from './reader.js';
import type { TokenClaims } from './tokens.js';

/** Body of a request after the null keys are gone. */
export type Body = Readonly<Record<string, unknown>>;

/** One request to a handler. */
export interface Call {
  /** Places of the path pattern, decoded once. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: Body;
  readonly cluster: Cluster;
  readonly reader: Reader;
  /** Who asks. */
  readonly session: TokenClaims;
  /** Wall clock at its arrival. */
  readonly nowMs: number;
}

/** A row: what answers to one method and path pattern. The handler's value is the JSON answer, with status 200. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** Literal text with places in braces; `{name}` takes anything but a slash, `{name*}` also slashes. */
  readonly path: string;
  /** Of the body; what it does not name is ignored. */
  readonly schema?: SchemaObject;
  handle(call: Call): Promise<unknown>;
}

interface CompiledRoute {
  readonly route: Route;
  readonly pattern: RegExp;
}

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

function compile(path: string): RegExp {
  const source = path
    .split(/(\{\w+\*?\})/)
    .map((part) => {
      const place = /^\{(\w+)(\*?)\}$/.exec(part);
      if (place === null) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return `(?<${place[1] ?? ''}>${place[2] === '*' ? '.+?' : '[^/]+'})`;
    })
    .join('');
  return new RegExp(`^${source}/?$`);
}

/** Percent-decodes once; a text that is not well encoded stays as it is. */
export function decodeOnce(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

/** The table, made ready for looking up. Rows are tried in order, so literal rows stand before those with places. */
export class RouteTable {
  private readonly rows: readonly CompiledRoute[];

  constructor(routes: readonly Route[]) {
    this.rows = routes.map((route) => ({ route, pattern: compile(route.path) }));
  }

  /** The row for a method and an undecoded path. */
  find(method: string, path: string): Match | null {
    for (const { route, pattern } of this.rows) {
      if (route.method !== method) continue;
      const match = pattern.exec(path);
      if (match === null) continue;
      const params = Object.entries(match.groups ?? {}).map(([name, value]) => [
        name,
        decodeOnce(value),
      ]);
      return { route, params: Object.fromEntries(params) as Record<string, string> };
    }
    return null;
  }

  /** Whether the path exists under another method. */
  knowsPath(path: string): boolean {
    return this.rows.some(({ pattern }) => pattern.test(path));
  }
}
