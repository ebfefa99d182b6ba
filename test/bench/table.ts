// Owns the markdown that is printed at the end: the machine, what was durable and what was cached,
// one table, the memory of the idle processes, and the runs that failed. Pure.
import { MIB } from '../../backend/core/units.js';
import { isVolatile } from './machine.js';
import { summarise, type FailedRun, type Report, type SummaryRow } from './report.js';
import { CEPH } from './targets.js';

const COLUMNS = [
  'job',
  'target',
  'runs',
  'IOPS',
  'best',
  'MB/s',
  'p50 us',
  'p99 us',
  'p99.9 us',
  'CPU us/IO',
  'best',
  'fio CPU us/IO',
  'IOPS vs floor',
  'CPU vs floor',
  'IOPS vs Ceph',
  'others CPU %',
] as const;

/** Renders a result as markdown, ending with a newline. */
export function renderTable(report: Report): string {
  const summary = summarise(report);
  const withCeph = report.targets.some((target) => target.name === CEPH);
  const columns = COLUMNS.filter((column) => withCeph || column !== 'IOPS vs Ceph');
  const rows = summary.map((row) => {
    const ceph = summary.find((other) => other.job === row.job && other.target === CEPH);
    return tableRow(row, withCeph ? [cephRatio(row, ceph)] : []);
  });
  const lines = [
    ...heading(report),
    '',
    `| ${columns.join(' | ')} |`,
    `|${columns.map((_, index) => (index < 2 ? ' --- ' : ' ---: ')).join('|')}|`,
    ...rows,
    '',
    ...footnotes(report, withCeph),
    ...roleLines(summary),
    ...failureLines(report.failures),
  ];
  return `${lines.join('\n')}\n`;
}

function heading(report: Report): string[] {
  const { machine } = report;
  const { filesystem } = machine;
  const volatile = isVolatile(filesystem)
    ? ', which is memory: nothing here survives a power cut, whatever a line below says'
    : '';
  return [
    `Machine: ${machine.cpuModel}, ${machine.cores} cores, ${machine.memoryGib} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.nodeVersion}, load ${machine.load.join(' ')} at the start.`,
    `Data on ${filesystem.type} (${filesystem.device} at ${filesystem.mountPoint})${volatile}; ` +
      'all copies of every system share this one disk.',
    `Measured ${report.startedAt} to ${report.finishedAt ?? 'an interruption'} at commit ` +
      `${machine.commit ?? 'unknown'} by \`npm run bench -- ${report.command.join(' ')}\`: ${machine.fioVersion}, ` +
      `${report.sizeBytes / MIB} MiB pre-written with 1M writes, ${report.runtimeS} s a run.`,
    '',
    ...report.targets.map(
      (target) =>
        `* ${target.name} (${target.version}, ${copies(target.copies)}): a write is acknowledged with ` +
        `${target.durable}. Reads: ${target.cached}.`,
    ),
  ];
}

function tableRow(row: SummaryRow, extra: readonly string[]): string {
  const cells = [
    row.job,
    row.target,
    String(row.runs),
    figure(row.iops),
    figure(row.iopsBest),
    figure(row.mbPerS),
    figure(row.p50Us),
    figure(row.p99Us),
    figure(row.p999Us),
    figure(row.cpuUsPerIo),
    figure(row.cpuUsPerIoBest),
    figure(row.fioCpuUsPerIo),
    row.floor === null ? '-' : `${factor(row.floor.iops)} of ${row.floor.target}`,
    row.floor === null ? '-' : factor(row.floor.cpu),
    ...extra,
    figure(row.otherCpuPercent),
  ];
  return `| ${cells.join(' | ')} |`;
}

function cephRatio(row: SummaryRow, ceph: SummaryRow | undefined): string {
  return ceph === undefined || row.target === CEPH ? '-' : factor(row.iops / ceph.iops);
}

function footnotes(report: Report, withCeph: boolean): string[] {
  const memory = Object.entries(report.idleResidentMib).map(
    ([name, mib]) => `${name} ${figure(mib)}`,
  );
  return [
    'Figures are medians of the runs; "best" is the best run. Ratios are medians of ratios within one repetition,',
    'against the floor of equal durability. CPU is utime + stime of all processes of the system, without fio and',
    'without kernel threads (these are in "others", in percent of one core). Where each write is followed by a',
    'flush, a latency is the sum of the two percentiles.',
    ...(withCeph
      ? [
          'Ceph acknowledges only stable writes: the ratio to it is fair for reads and flushed targets.',
        ]
      : []),
    '',
    `Resident MiB of the idle processes before the first I/O: ${memory.join(', ')}.`,
  ];
}

/** Where the CPU time of a system of several roles goes; a server of one role has nothing to add. */
function roleLines(summary: readonly SummaryRow[]): string[] {
  const rows = summary.filter((row) => Object.keys(row.cpuByRole).length > 1);
  if (rows.length === 0) return [];
  const roles = (row: SummaryRow): string =>
    Object.entries(row.cpuByRole)
      .map(([role, { userUs, systemUs }]) => `${role} ${figure(userUs)} + ${figure(systemUs)}`)
      .join(', ');
  return [
    '',
    'CPU us/IO by role, in user mode + in the kernel (medians):',
    '',
    ...rows.map((row) => `* ${row.job} on ${row.target}: ${roles(row)}`),
  ];
}

function failureLines(failures: readonly FailedRun[]): string[] {
  if (failures.length === 0) return [];
  const lines = failures.map(
    (run) =>
      `* ${run.job} on ${run.target}, repetition ${run.repetition + 1}: ${oneLine(run.error)}`,
  );
  return ['', `${failures.length} failed:`, '', ...lines];
}

function copies(count: number): string {
  return count === 1 ? 'one copy' : `${count} copies`;
}

/** Three significant digits below 1000, whole numbers above. */
function figure(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

function factor(value: number): string {
  return `${value >= 10 ? value.toFixed(1) : value.toFixed(2)}x`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300);
}
