// Whether the data is safe now: combs, resync, managers, servers.

import type { JSX } from 'preact';

import type { Overview } from '../shapes.js';

import { bytes, count, percent, since } from './format.js';
import { Badge, Bar } from './table.js';

function state({ combs }: Overview): JSX.Element {
  if (combs.unavailable > 0)
    return <Badge kind="bad">{count(combs.unavailable)} combs unavailable</Badge>;
  if (combs.degraded > 0)
    return <Badge kind="warning">{count(combs.degraded)} combs with one copy</Badge>;
  return <Badge kind="good">All data has two copies</Badge>;
}

function resync({ resync: { totalBytes, doneBytes } }: Overview): JSX.Element | string {
  if (totalBytes === 0) return 'none';
  const label = `${percent(doneBytes, totalBytes)} of ${bytes(totalBytes)}`;
  return <Bar part={doneBytes} whole={totalBytes} label={label} />;
}

export function Health({ overview }: { readonly overview: Overview }): JSX.Element {
  const { mdm, sds, sdcs, devices, volumes, combs } = overview;
  const connected = (rows: readonly { readonly isConnected: boolean }[], total: number): string =>
    `${total - rows.filter(({ isConnected }) => !isConnected).length} of ${total} connected`;
  return (
    <section class="panel health" aria-label="Health">
      <h2>Health</h2>
      <p class="state">{state(overview)}</p>
      <dl>
        <dt>Resync</dt>
        <dd data-health="resync">{resync(overview)}</dd>
        <dt>Combs</dt>
        <dd>
          {count(combs.total)}, {count(combs.degraded)} degraded
        </dd>
        <dt>SDSs</dt>
        <dd data-health="sds">{connected(sds.rows, sds.total)}</dd>
        <dt>Devices</dt>
        <dd data-health="devices">{connected(devices.rows, devices.total)}</dd>
        <dt>SDCs</dt>
        <dd data-health="sdcs">{connected(sdcs.rows, sdcs.total)}</dd>
        <dt>Volumes</dt>
        <dd data-health="volumes">
          {count(volumes.total)}, {count(volumes.mapped)} mapped
        </dd>
        <dt>MDM</dt>
        <dd>
          {mdm.name === '' ? 'master' : mdm.name}, up {since(mdm.upSinceMs, overview.atMs)}, version{' '}
          {mdm.version}
        </dd>
      </dl>
    </section>
  );
}
