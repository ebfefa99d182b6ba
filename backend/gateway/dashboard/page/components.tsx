// The tables of what the system consists of. Each lists what its answer holds, troubled rows first as the gateway sorts.

import type { JSX } from 'preact';

import type { DeviceRow, Load, Overview, PoolRow, SdcRow, SdsRow } from '../shapes.js';

import { bytes, count, duration, latency, percent, since } from './format.js';
import { Badge, Bar, Table } from './table.js';
import type { Column } from './table.js';

/** Columns of what happens per second; the same in every table. */
export const LOAD_COLUMNS: readonly Column<{ readonly load: Load }>[] = [
  {
    title: 'IOPS r / w',
    isFigure: true,
    cell: ({ load }) => `${count(load.readOps)} / ${count(load.writeOps)}`,
  },
  {
    title: 'Bandwidth r / w',
    isFigure: true,
    cell: ({ load }) => `${bytes(load.readBytes)}/s / ${bytes(load.writeBytes)}/s`,
  },
  {
    title: 'Latency r / w',
    isFigure: true,
    cell: ({ load }) => `${latency(load.readMicros)} / ${latency(load.writeMicros)}`,
  },
];

/** What the limits of mappings cost, for tables of those who have such limits. */
export const LIMITED_COLUMN: Column<{ readonly load: Load }> = {
  title: 'Held by limits',
  isFigure: true,
  cell: ({ load }) =>
    load.throttledOps === 0
      ? ''
      : `${count(load.throttledOps)}/s, ${latency(load.throttledMicros)} each`,
};

/** Shows a name with what identifies it as its tooltip. */
function named(name: string, id: string): JSX.Element {
  return <span title={id}>{name === '' ? id : name}</span>;
}

function liveness(
  row: { readonly isConnected: boolean; readonly sinceMs: number },
  nowMs: number,
): JSX.Element {
  return (
    <>
      <Badge kind={row.isConnected ? 'good' : 'bad'}>
        {row.isConnected ? 'connected' : 'disconnected'}
      </Badge>{' '}
      <span class="muted">{since(row.sinceMs, nowMs)}</span>
    </>
  );
}

/** What an SDS is taken out of service for, and how far; nothing where it works. */
function maintenance({ maintenance, maintenanceStage }: SdsRow): JSX.Element | null {
  if (maintenance === 'none') return null;
  const words = { entering: 'entering', active: 'in', exiting: 'leaving' };
  const stage = words[maintenanceStage as keyof typeof words];
  return (
    <Badge kind="warning">
      {stage} {maintenance} maintenance
    </Badge>
  );
}

function filled(usedBytes: number, capacityBytes: number): JSX.Element {
  const label = `${bytes(usedBytes)} of ${bytes(capacityBytes)}`;
  return <Bar part={usedBytes} whole={capacityBytes} label={label} />;
}

const POOLS: readonly Column<PoolRow>[] = [
  { title: 'Pool', cell: ({ name, id }) => named(name, id) },
  { title: 'Protection domain', cell: ({ domain }) => domain },
  { title: 'Media', cell: ({ mediaType }) => mediaType },
  { title: 'Durability', cell: ({ durability }) => durability },
  {
    title: 'Used (raw)',
    cell: ({ capacity }) => filled(capacity.usedBytes, capacity.totalBytes),
  },
  { title: 'Full in', isFigure: true, cell: ({ fullInS }) => duration(fullInS) },
  { title: 'Spare', isFigure: true, cell: ({ sparePercent }) => `${sparePercent} %` },
  { title: 'Devices', isFigure: true, cell: ({ devices }) => count(devices) },
  { title: 'Volumes', isFigure: true, cell: ({ volumes }) => count(volumes) },
  ...LOAD_COLUMNS,
];

/** Memory of read caches, and which part of the reads they answer. */
function cached({ cacheBytes, load }: SdsRow): string {
  if (cacheBytes === 0) return '';
  return `${bytes(cacheBytes)}, ${percent(load.cachedReadOps, load.readOps)} of reads`;
}

function sdsColumns(nowMs: number): readonly Column<SdsRow>[] {
  return [
    { title: 'SDS', cell: ({ name, id }) => named(name, id) },
    {
      title: 'State',
      cell: (row) => (
        <>
          {liveness(row, nowMs)} {maintenance(row)}
        </>
      ),
    },
    { title: 'Addresses', cell: ({ addresses }) => addresses.join(', ') },
    { title: 'Protection domain', cell: ({ domain }) => domain },
    { title: 'Devices', isFigure: true, cell: ({ devices }) => count(devices) },
    { title: 'Used', cell: (row) => filled(row.usedBytes, row.capacityBytes) },
    { title: 'RAM read cache', isFigure: true, cell: cached },
    ...LOAD_COLUMNS,
    { title: 'Version', cell: ({ version }) => version },
  ];
}

function deviceState({ isConnected, state, failure }: DeviceRow): JSX.Element {
  if (failure !== '') return <Badge kind="bad">{`${state}: ${failure}`}</Badge>;
  if (!isConnected) return <Badge kind="bad">disconnected</Badge>;
  return <Badge kind={state === 'up' ? 'good' : 'warning'}>{state}</Badge>;
}

function deviceResync({ resync, degradedCombs }: DeviceRow): JSX.Element | string {
  if (resync.totalBytes > 0) {
    const label = `${percent(resync.doneBytes, resync.totalBytes)} of ${bytes(resync.totalBytes)}`;
    return <Bar part={resync.doneBytes} whole={resync.totalBytes} label={label} />;
  }
  return degradedCombs === 0 ? '–' : `${count(degradedCombs)} combs with one copy`;
}

function deviceScan(row: DeviceRow): JSX.Element | string {
  const { scannedBytes, scanErrors, scanErrorsLeft } = row;
  if (scanErrorsLeft > 0)
    return <Badge kind="bad">{`${count(scanErrorsLeft)} blocks wrong`}</Badge>;
  if (scanErrors > 0) return `${count(scanErrors)} blocks repaired`;
  return scannedBytes === 0 ? '–' : bytes(scannedBytes);
}

const DEVICES: readonly Column<DeviceRow>[] = [
  { title: 'Device', cell: ({ name, path, id }) => named(name === '' ? path : name, id) },
  { title: 'State', cell: deviceState },
  { title: 'SDS', cell: ({ sds }) => sds },
  { title: 'Pool', cell: ({ pool }) => pool },
  { title: 'Used', cell: (row) => filled(row.usedBytes, row.capacityBytes) },
  { title: 'Resync', cell: deviceResync },
  { title: 'Scanned', cell: deviceScan },
  ...LOAD_COLUMNS,
];

function sdcColumns(nowMs: number): readonly Column<SdcRow>[] {
  return [
    { title: 'SDC', cell: ({ name, guid }) => named(name, guid) },
    { title: 'State', cell: (row) => liveness(row, nowMs) },
    {
      title: 'Approved',
      cell: ({ isApproved }) =>
        isApproved ? 'yes' : <Badge kind="warning">waits for approval</Badge>,
    },
    { title: 'Addresses', cell: ({ addresses }) => addresses.join(', ') },
    { title: 'Mapped volumes', isFigure: true, cell: ({ mappedVolumes }) => count(mappedVolumes) },
    ...LOAD_COLUMNS,
    { title: 'Version', cell: ({ version }) => version },
  ];
}

const idOf = ({ id }: { readonly id: string }): string => id;

interface OverviewProps {
  readonly overview: Overview;
}

export function Pools({ overview: { pools } }: OverviewProps): JSX.Element {
  return <Table columns={POOLS} {...pools} keyOf={idOf} empty="There is no storage pool yet" />;
}

export function Servers({ overview: { sds, atMs } }: OverviewProps): JSX.Element {
  return <Table columns={sdsColumns(atMs)} {...sds} keyOf={idOf} empty="There is no SDS yet" />;
}

export function Devices({ overview: { devices } }: OverviewProps): JSX.Element {
  return <Table columns={DEVICES} {...devices} keyOf={idOf} empty="There is no device yet" />;
}

export function Clients({ overview: { sdcs, atMs } }: OverviewProps): JSX.Element {
  return (
    <Table columns={sdcColumns(atMs)} {...sdcs} keyOf={idOf} empty="No SDC has registered yet" />
  );
}
