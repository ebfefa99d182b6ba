// Alerts, worst first. What an alert means is written by the gateway; here it is only shown.

import type { JSX } from 'preact';

import { bytes, since } from './format.js';
import type { Fresh } from './polling.js';
import { Badge } from './table.js';

/** As `GET /api/types/Alert/instances` answers. */
export interface Alert {
  readonly id: string;
  readonly severity: string;
  readonly alertType: string;
  readonly startTime: string;
  readonly affectedObject: { readonly type: string; readonly id: string };
  readonly alertValues: Readonly<Record<string, string | number>>;
}

const ORDER = ['ALERT_HIGH', 'ALERT_MEDIUM', 'ALERT_LOW'];
const KINDS: ReadonlyMap<string, 'bad' | 'warning'> = new Map([
  ['ALERT_HIGH', 'bad'],
  ['ALERT_MEDIUM', 'warning'],
] as const);

function rank({ severity }: Alert): number {
  const place = ORDER.indexOf(severity);
  return place < 0 ? ORDER.length : place;
}

function words(type: string): string {
  const text = type.toLowerCase().replaceAll('_', ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A value with its name in words, such as `degraded combs 171`; kilobytes in a unit that fits. */
function valueOf(name: string, value: string | number): string {
  if (name === 'name') return String(value);
  const spaced = name.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
  return spaced.endsWith(' kb')
    ? `${spaced.slice(0, -3)} ${bytes(Number(value) * 1024)}`
    : `${spaced} ${value}`;
}

/** Type of the object without the package in front of it, and what is known of it. */
function about({ affectedObject: { type, id }, alertValues }: Alert): string {
  const values = Object.entries(alertValues).map(([name, value]) => valueOf(name, value));
  return [type.replace(/^.*\./, ''), values.length === 0 ? id : values.join(', ')].join(' ');
}

export function Alerts({ alerts }: { readonly alerts: Fresh<readonly Alert[]> }): JSX.Element {
  const list = [...(alerts.value ?? [])].sort((a, b) => rank(a) - rank(b));
  return (
    <section class="panel alerts" aria-label="Alerts">
      <h2>
        Alerts <span class="figure">{list.length}</span>
      </h2>
      {alerts.failure !== null && <p class="failure">{alerts.failure}</p>}
      {list.length === 0 && alerts.value !== null && <p class="empty">None</p>}
      <ul>
        {list.map((alert) => (
          <li key={alert.id} data-alert={alert.alertType}>
            <Badge kind={KINDS.get(alert.severity) ?? 'neutral'}>
              {words(alert.severity.replace('ALERT_', ''))}
            </Badge>{' '}
            {words(alert.alertType)}
            <span class="muted">
              {' '}
              {about(alert)}, {since(Date.parse(alert.startTime), Date.now())}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
