// What action routes share: the object of the path, commands in the name of the session's user, the empty answer.

import type { CommandParams, CommandResults } from '../protocol/generated/types.js';
import { whenNotBusy } from '../runtime/busy-volumes.js';
import type { ObjectKind, Objects } from '../runtime/cluster.js';
import type { ErrorName } from '../protocol/generated/errors.js';
import type { SchemaObject } from 'ajv';

import { ApiError } from './api-error.js';
import type { Call, Route } from './route.js';

/** Asks the cluster on behalf of the user who is logged in. */
export function ask<N extends keyof CommandParams>(
  call: Call,
  name: N,
  params: CommandParams[N],
): Promise<CommandResults[N]> {
  return call.cluster.command(name, call.session.user, params);
}

/** The same for a command about volumes: waits while one is being snapshotted or reverted, which takes a moment. */
export function askWhenFree<N extends keyof CommandParams>(
  call: Call,
  name: N,
  params: CommandParams[N],
): Promise<CommandResults[N]> {
  return whenNotBusy(() => ask(call, name, params));
}

/** Key of the object that the path names. It may not exist: the command says so. */
export function pathKey(call: Call): number {
  return call.reader.keyOf(call.params['id'] ?? '');
}

/** The object that an id names. @throws ApiError of its type when there is none */
export async function objectOf<K extends Exclude<ObjectKind, 'mapping'>>(
  call: Call,
  kind: K,
  id: string,
  notFound: ErrorName,
): Promise<Objects[K]> {
  const [object] = await call.reader.some(kind, [call.reader.keyOf(id)]);
  if (object === undefined) throw ApiError.named(notFound);
  return object;
}

/** A row `POST /api/instances/<type>::{id}/action/<name>` that answers with an empty object. */
export function action(
  type: string,
  name: string,
  schema: SchemaObject,
  run: (call: Call) => Promise<unknown>,
): Route {
  return {
    method: 'POST',
    path: `/api/instances/${type}::{id}/action/${name}`,
    schema,
    handle: async (call) => {
      await run(call);
      return {};
    },
  };
}

/** A row `POST /api/types/<type>/instances` that answers with the id of what it made. */
export function creation(
  type: string,
  schema: SchemaObject,
  run: (call: Call) => Promise<{ readonly key: number }>,
): Route {
  return {
    method: 'POST',
    path: `/api/types/${type}/instances`,
    schema,
    handle: async (call) => ({ id: call.reader.id((await run(call)).key) }),
  };
}
