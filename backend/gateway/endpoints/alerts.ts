// The list of alerts as monitoring tools read it.

import { currentAlerts } from '../../runtime/alerts.js';
import type { Alert } from '../../runtime/alert.js';
import type { Reader } from '../reader.js';
import type { Call, Route } from '../route.js';
import type { Json } from '../views/parts.js';

const SEVERITIES: Readonly<Record<Alert['severity'], string>> = {
  low: 'ALERT_LOW',
  medium: 'ALERT_MEDIUM',
  high: 'ALERT_HIGH',
};
/** Package in front of the type's name, which tools cut off. */
const TYPE_PREFIX = 'com.emc.ecs.api.model.gen.';

function alertView(reader: Reader, alert: Alert, nowMs: number): Json {
  const id = reader.id(alert.objectKey);
  return {
    id: alert.uuid,
    name: alert.uuid,
    uuid: alert.uuid,
    alertType: alert.type,
    severity: SEVERITIES[alert.severity],
    affectedObject: { type: `${TYPE_PREFIX}${alert.objectType}`, id, objectId: id },
    alertValues: alert.values,
    startTime: new Date(alert.sinceMs).toISOString(),
    lastObserved: new Date(nowMs).toISOString(),
  };
}

async function listAlerts({ reader, nowMs }: Call): Promise<readonly Json[]> {
  return (await currentAlerts(reader, nowMs)).map((alert) => alertView(reader, alert, nowMs));
}

export const ALERT_ROUTES: readonly Route[] = [
  { method: 'GET', path: '/api/types/Alert/instances', handle: listAlerts },
];
