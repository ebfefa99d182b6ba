// A small result to derive others from.
import { REPORT_FORMAT, REPORT_VERSION, type Report, type Run } from '../../bench/report.js';
import type { TargetDescription } from '../../bench/targets.js';

export function target(
  name: string,
  acknowledgement: TargetDescription['acknowledgement'],
): TargetDescription {
  const durable = `a copy of ${name}`;
  return { name, version: `${name} 1.0`, copies: 2, acknowledgement, durable, cached: 'nowhere' };
}

export function run(
  job: string,
  name: string,
  repetition: number,
  figures: Partial<Run> = {},
): Run {
  return {
    job,
    target: name,
    repetition,
    at: '2026-01-02T03:04:05.000Z',
    ios: 1000,
    iops: 1000,
    mbPerS: 4,
    p50Us: 10,
    p99Us: 20,
    p999Us: 30,
    cpuUsPerIo: 50,
    cpuByRole: { sdc: { userUs: 20, systemUs: 30 } },
    fioCpuUsPerIo: 5,
    otherCpuPercent: 1,
    stealPercent: 0,
    loadBefore: 0.5,
    quiet: null,
    ...figures,
  };
}

export function report(targets: readonly TargetDescription[], runs: readonly Run[]): Report {
  return {
    format: REPORT_FORMAT,
    version: REPORT_VERSION,
    startedAt: '2026-01-02T03:04:00.000Z',
    finishedAt: '2026-01-02T03:14:00.000Z',
    command: ['--runs', '3'],
    machine: {
      cpuModel: 'Test CPU',
      cores: 2,
      memoryGib: 24,
      kernel: '6.1.0',
      nodeVersion: 'v20.20.2',
      fioVersion: 'fio-3.33',
      filesystem: { type: 'ext4', device: '/dev/vda', mountPoint: '/' },
      load: [0.1, 0.2, 0.3],
      commit: 'abcdef012345',
    },
    sizeBytes: 2 ** 31,
    runtimeS: 5,
    targets,
    idleResidentMib: { 'meshsan sds1-data': 71.5 },
    runs: [...runs],
    failures: [],
    summary: [],
  };
}
