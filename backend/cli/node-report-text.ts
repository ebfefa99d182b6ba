// What agents of nodes report, as lines for people. It must never ask anybody.

import type { DeviceContent, Job, NodeDevice, NodeReport } from '../protocol/lia.js';

const GIBIBYTE = 2 ** 30;
const DAY_MS = 86_400_000;

const table = (rows: readonly (readonly string[])[]): string[] => {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
  );
};

function contentText(content: DeviceContent): string {
  switch (content.kind) {
    case 'empty':
      return 'empty';
    case 'ours':
      return `device ${content.deviceKey} of system ${content.systemId}`;
    case 'damaged':
      return `a damaged device of ours: ${content.what}`;
    case 'foreign':
    case 'unreadable':
      return content.what;
  }
}

function deviceRow({ path, kind, sizeBytes, media, content, inUse }: NodeDevice): string[] {
  const size = `${(sizeBytes / GIBIBYTE).toFixed(1)} GiB`;
  return [path, kind, size, media, contentText(content), inUse ?? ''];
}

/** A time as people read it, in UTC. */
const timeText = (ms: number | null): string =>
  ms === null ? '' : `since ${new Date(ms).toISOString().slice(0, 19)}Z`;

/** A report as people read it. */
export function reportLines(report: NodeReport): string[] {
  const { name, hostName, version, kernel, uptimeSeconds, memoryBytes } = report;
  const days = ((uptimeSeconds * 1000) / DAY_MS).toFixed(1);
  return [
    `${name} (${hostName}), agent ${version}, Linux ${kernel}, up ${days} days, ${(memoryBytes / GIBIBYTE).toFixed(1)} GiB of memory`,
    'packages:',
    ...table(report.packages.map((row) => [row.name, row.version, row.state])),
    'services:',
    ...table(
      report.services.map((row) => [
        row.unit,
        row.state,
        timeText(row.sinceMs),
        row.startsAtBoot ? 'starts at boot' : '',
        row.restarts === 0 ? '' : `${row.restarts} restarts`,
      ]),
    ),
    'addresses:',
    ...table(report.addresses.map((row) => [row.name, `${row.address}/${row.prefix}`])),
    'devices:',
    ...(report.devicesFault === null
      ? table(report.devices.map(deviceRow))
      : [`  cannot be looked at: ${report.devicesFault}`]),
  ];
}

export const jobLine = ({ id, state, message }: Job): string => `${id} ${state}: ${message}`;
