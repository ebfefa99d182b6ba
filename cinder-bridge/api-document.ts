// The OpenAPI document of the bridge, made from the table of operations: it cannot say anything that the program does not
// do.

import { BRIDGE_ERRORS } from './bridge-error.js';
import { COMMON_ERRORS } from './operations.js';
import type { Operation } from './operations.js';
import { ERROR_ANSWER, NO_BODY } from './schemas.js';

type Json = Readonly<Record<string, unknown>>;

function answersOf(operation: Operation): Json {
  const errors = [
    ...(operation.open === true ? [] : (['unauthorized'] as const)),
    ...operation.errors,
    ...COMMON_ERRORS,
  ];
  return {
    200: {
      description: 'done',
      content: { 'application/json': { schema: operation.answer } },
    },
    ...Object.fromEntries(
      errors.map((code) => [
        String(BRIDGE_ERRORS[code].httpStatus),
        {
          description: `${code}: ${BRIDGE_ERRORS[code].about}`,
          content: { 'application/json': { schema: ERROR_ANSWER } },
        },
      ]),
    ),
  };
}

function operationOf(operation: Operation): Json {
  const { operationId, summary, params, body } = operation;
  return {
    operationId,
    summary,
    parameters: Object.entries(params).map(([name, schema]) => ({
      ...{ name, in: 'path', required: true, schema },
    })),
    ...(body === NO_BODY
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: answersOf(operation),
    ...(operation.open === true ? { security: [] } : {}),
  };
}

/** The document. @param version - of the product */
export function apiDocument(operations: readonly Operation[], version: string): Json {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of operations)
    (paths[operation.path] ??= {})[operation.method] = operationOf(operation);
  return {
    openapi: '3.1.0',
    info: {
      title: 'MeshSAN Cinder bridge',
      version,
      description:
        'Between the Cinder driver and the MeshSAN gateways. Every operation may be sent twice. Requests are signed with the token that both ends hold (cinder-bridge/README.md), answers carry the proof of the bridge.',
    },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: {
        token: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'MeshSAN-HMAC <milliseconds>:<nonce>:<signature>',
        },
      },
    },
  };
}
