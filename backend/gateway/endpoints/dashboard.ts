// Endpoints of the dashboard's page. They change nothing; what the page changes goes through the ordinary endpoints.

import { ApiError } from '../api-error.js';
import { TEXT, WHOLE, object, textOf, wholeOf } from '../body.js';
import { overviewOf } from '../dashboard/overview.js';
import { VOLUME_ROWS_MAX, volumeListOf } from '../dashboard/volume-list.js';
import type { Call, Route } from '../route.js';

function volumes(call: Call): Promise<unknown> {
  const offset = wholeOf(call.body, 'offset') ?? 0;
  const limit = wholeOf(call.body, 'limit') ?? VOLUME_ROWS_MAX;
  if (limit < 1 || limit > VOLUME_ROWS_MAX)
    throw ApiError.invalid(`limit (${limit}) must be from 1 to ${VOLUME_ROWS_MAX}`);
  return volumeListOf(call.reader, textOf(call.body, 'search') ?? '', offset, limit);
}

export const DASHBOARD_ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: '/api/dashboard/overview',
    handle: (call) => overviewOf(call.reader, call.session.user, call.nowMs),
  },
  {
    method: 'POST',
    path: '/api/dashboard/volumes',
    schema: object({ search: TEXT, offset: WHOLE, limit: WHOLE }),
    handle: volumes,
  },
];
